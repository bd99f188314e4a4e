"""One measured process of `budget.py`: all reads of weights go through one source of limited speed.

python -m benchmarks.budget_run '{"what": "merge", ...}' prints one JSON row.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from solera.app import merge
from solera.app.analyzing import analyze
from solera.checkpoints.reader import FileReader
from solera.plan import budget_choice
from solera.recipe.budgets import budget_of
from solera.recipe.values import Merge, Operand, Recipe
from solera.types import ModelRef

Row = dict[str, Any]


class Source:
    """A device that gives so many MB in a second, to whoever asks; 0 is no limit."""

    def __init__(self, rate: float) -> None:
        self.rate, self.free, self.given, self.lock = rate * 1e6, 0.0, 0, threading.Lock()

    def take(self, nbytes: int) -> None:
        """Wait until the device has given that much more."""
        with self.lock:
            self.given += nbytes
            if not self.rate:
                return
            self.free = max(self.free, time.monotonic()) + nbytes / self.rate
            until = self.free
        time.sleep(max(0.0, until - time.monotonic()))

    def wrap(self) -> None:
        """Put the device under every read of files."""
        own = FileReader.pread

        def pread(reader: FileReader, path: str, offset: int, nbytes: int, *rest: Any) -> Any:
            self.take(nbytes)
            return own(reader, path, offset, nbytes, *rest)

        FileReader.pread = pread  # type: ignore[method-assign]


def recipe(asked: Row, budget: str | None) -> Recipe:
    """The merge of all models."""
    models = tuple(Operand(ModelRef(m)) for m in asked["models"])
    node = Merge(asked["method"], models, base=ModelRef(asked["base"]), parameters=asked["values"])
    return Recipe(node, budget=None if budget is None else budget_of(budget))


def merged(asked: Row, source: Source) -> Row:  # noqa: ARG001
    """One merge, planning and commit included."""
    report = merge(recipe(asked, asked["budget"]), asked["out"], threads=2, force=True)
    spent = report.budget or {}
    kept = {name: spent.get(name) for name in ("read", "total", "base_bytes", "blocks", "blocks_read", "thresholds")}
    return {"bytes_read": report.bytes_read, **kept}


def naive(asked: Row, source: Source) -> Row:
    """Task arithmetic as a short script does it: every model is read whole, one after the other."""
    import torch
    from safetensors.torch import load_file, save_file

    def read(folder: str) -> dict[str, torch.Tensor]:
        file = Path(folder) / "model.safetensors"
        source.take(file.stat().st_size)
        return load_file(file)

    torch.set_num_threads(2)
    base = read(asked["base"])
    total = {name: torch.zeros(t.shape) for name, t in base.items()}
    for folder in asked["models"]:
        for name, t in read(folder).items():
            total[name] += asked["values"]["weight"] * (t.float() - base[name].float())
    Path(asked["out"]).mkdir(exist_ok=True)
    made = {name: (t.float() + total[name]).to(t.dtype) for name, t in base.items()}
    save_file(made, Path(asked["out"]) / "model.safetensors")
    return {"bytes_read": source.given}


def read_once(asked: Row, source: Source) -> Row:  # noqa: ARG001
    """One reading of the base and all models, and nothing else, by two threads."""
    reader, step = FileReader(), 1 << 21
    pieces = [
        (str(file), offset, min(step, file.stat().st_size - offset))
        for file in (Path(folder) / "model.safetensors" for folder in (asked["base"], *asked["models"]))
        for offset in range(0, file.stat().st_size, step)
    ]
    halves = [
        threading.Thread(target=lambda part=part: [reader.pread(*p) for p in part])
        for part in (pieces[::2], pieces[1::2])
    ]
    for half in halves:
        half.start()
    for half in halves:
        half.join()
    return {"bytes_read": reader.bytes_read}


def analyzed(asked: Row, source: Source) -> Row:  # noqa: ARG001
    """Sketch all models."""
    found = analyze(asked["models"], asked["base"], threads=2, force=asked.get("force", False))
    return {"bytes_read": max(one.bytes_read for one in found), "sketch_bytes": sum(one.nbytes for one in found),
            "exact": min(one.exact for one in found)}  # fmt: skip


def errors(asked: Row, source: Source) -> Row:  # noqa: ARG001
    """Distances to the whole merge by share, for blocks chosen and blocks drawn; relative to the merge's own change."""
    whole = Path(asked["out"]).with_name("whole")
    merge(recipe(asked, None), whole, force=True)
    length = _distance(whole, Path(asked["base"]))
    rows = []
    for share in asked["shares"]:
        for how in ("chosen", "random"):
            with drawn() if how == "random" else nullcontext():
                spent = merge(recipe(asked, share), asked["out"], force=True).budget or {}
            bound = None if spent["bound"] is None else spent["bound"] / length
            far = _distance(Path(asked["out"]), whole) / length
            rows.append({"budget": share, "how": how, "read": spent["read"], "bound": bound, "error": far})
    shutil.rmtree(whole)
    return {"rows": rows}


@contextmanager
def drawn() -> Iterator[None]:
    """Within it, worth is drawn instead of known: equal bytes, other blocks."""
    rng, own = np.random.default_rng(0), budget_choice.Unit.bundles

    def bundles(unit: Any) -> Any:
        worth, sizes = own(unit)
        return rng.random(worth.size) * sizes, sizes

    budget_choice.Unit.bundles = bundles  # type: ignore[method-assign]
    try:
        yield
    finally:
        budget_choice.Unit.bundles = own  # type: ignore[method-assign]


def _distance(left: Path, right: Path) -> float:
    total = 0.0
    for one, two in zip(_numbers(left), _numbers(right), strict=True):
        total += float(np.square(one.astype(np.float64) - two).sum())
    return float(total**0.5)


def _numbers(folder: Path) -> Iterator[np.ndarray]:
    """All weights as float32, tensor by tensor in the order of their names."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        for name in sorted(file.keys()):
            yield file.get_tensor(name).float().numpy()


WORK = {"merge": merged, "naive": naive, "read": read_once, "analyze": analyzed, "errors": errors}


def main() -> None:
    """Do one piece of work and print its figures; the clock starts when everything is imported."""
    asked = json.loads(sys.argv[1])
    if asked["what"] == "naive":
        import safetensors.torch  # noqa: F401 - imports are not what is measured
    else:
        import solera.ops.kernels.loops.sketching  # noqa: F401
        from solera.ops.kernels.engine import compiled

        compiled()
    source = Source(asked["rate"])
    source.wrap()
    began, spent = time.monotonic(), time.process_time()
    found = WORK[asked["what"]](asked, source)
    took = {"wall": round(time.monotonic() - began, 3), "cpu": round(time.process_time() - spent, 3)}
    sys.stdout.write(json.dumps({**found, **took, "cpu_process": time.process_time()}) + "\n")


if __name__ == "__main__":
    main()
