"""What large merges take: plans over sparse checkpoints of 7, 70 and 700 B parameters, and rates with nothing written.

python benchmarks/scale.py [--sizes 7,70,700] [--models 2,8,20] [--data FOLDER] [--page docs/scale.md]

Sparse safetensors have true headers and holes for data: planning them is planning the real thing. Bytes, passes and
peaks are the plan's. What one worker can compute is measured on a real 0.1 B checkpoint in memory with a sink that
keeps nothing, in seconds of CPU. Wall time is then the slowest of: bytes over the storage, bytes over the workers, the
largest tensor over one worker. Writes results/scale.json, the tables between the marks of the page, and its figure.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import checkpoints
from results import machine
from scale_page import figure, plan_table, put, rate_table, wall_table

from solera.checkpoints import FileReader
from solera.execute.inmemory import Unrecorded
from solera.execute.journal import Past
from solera.execute.many.parcels import packed
from solera.execute.places import Nowhere, Place
from solera.execute.run import execute_into
from solera.plan import plan
from solera.plan.cost import DEFAULT_MEMORY, own_passes, shape_for
from solera.plan.expressions import kinds_of
from solera.plan.tasks import Part, Plan
from solera.recipe import Recipe, from_options

HERE = Path(__file__).parent
RESULT = HERE / "results" / "scale.json"
FIGURE = "figures/scale.png"
SAMPLE = 256
"""Tensors whose orders are packed to see how much travels to workers."""
METHODS: dict[str, dict[str, Any]] = {
    "linear": {},
    "ties": {"density": 0.2},
    "ties per tensor": {"density": 0.2, "scope": "tensor"},
}
MEMORY = {"linear": (None,), "ties": (None,), "ties per tensor": (None, 4 << 30)}
"""What each worker may hold; None is the default of 512 MiB."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a plan says, for one worker's memory.

    `largest`: (bytes, elements) that one worker reads and computes on for the largest tensor that is not shared out.
    `sent`: bytes of expressions. `memory`: MiB that a worker may hold.
    """

    size: str
    models: int
    method: str
    memory: int
    parameters: int
    tensors: int
    read: int
    written: int
    passes: int
    peak: int
    planning: float
    largest: tuple[int, int]
    sent: int


def recipe(folder: Path, models: int, method: str) -> Recipe:
    """A merge of the checkpoints in a folder."""
    paths = [str(folder / f"e{k}") for k in range(models)]
    base = None if method == "linear" else str(folder / "base")
    return from_options(paths, base=base, method=method.split(maxsplit=1)[0], parameters=METHODS[method])


def planned(folder: Path, size: str, models: int, method: str, memory: int | None) -> Planned:
    """Plan one merge for a worker and read off what it takes."""
    began = time.process_time()
    made = plan(recipe(folder, models, method), memory=memory, threads=1)
    spent = time.process_time() - began
    parts = [part for tensor in made.outputs for part in tensor.parts]
    return Planned(
        size,
        models,
        method,
        (memory or DEFAULT_MEMORY) >> 20,
        checkpoints.parameters(checkpoints.SIZES[size]),
        len(made.outputs),
        made.cost.read_bytes,
        made.cost.write_bytes,
        made.cost.passes,
        made.cost.memory_bytes,
        spent,
        max((_alone(part, memory or DEFAULT_MEMORY) for part in parts), default=(0, 0)),
        _sent(parts),
    )


def _alone(part: Part, memory: int) -> tuple[int, int]:
    """What one worker must take on for a tensor; nothing where its chunks are shared out."""
    passes = own_passes(part.expr)
    if passes == 1:
        return 0, 0
    once = sum(n * r.source.cost_bytes(r.offset, r.offset + r.numel) for r, n in kinds_of(part.expr))
    held = once <= shape_for((), memory, 1).hold_bytes
    return once * (1 if held else passes), sum(n * r.numel for r, n in kinds_of(part.expr))


def _sent(parts: Sequence[Part]) -> int:
    every = max(1, len(parts) // SAMPLE)
    taken = parts[::every]
    return round(sum(len(packed(part.expr)) for part in taken) * len(parts) / max(1, len(taken)))


def discarded(made: Plan, reader: FileReader) -> float:
    """Run a plan in this thread, keep nothing; seconds of CPU."""
    places = {tensor.name: Place(Nowhere(), 0) for tensor in made.outputs}
    shape = shape_for(made.outputs, DEFAULT_MEMORY, 1)
    began = time.process_time()
    execute_into(places, made, shape, reader, Unrecorded(), Past(), lambda _event: None)
    return time.process_time() - began


def rates(folder: Path, methods: Sequence[str], models: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Elements of the models that one worker reads, merges and writes, per second of CPU."""
    checkpoints.write(folder, checkpoints.SIZES["0.1"], max(models))
    for method in methods:
        for count in models:
            made = plan(recipe(folder, count, method), threads=1)
            times = []
            for _ in range(3):
                with FileReader() as reader:
                    times.append(discarded(made, reader))
                    counted = reader.bytes_read
            yield {
                "method": method,
                "models": count,
                "read": counted,
                "planned": made.cost.read_bytes,
                "seconds": min(times),
                "rate": count * checkpoints.parameters(checkpoints.SIZES["0.1"]) / min(times),
            }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that the page shows."""
    models, methods = [int(k) for k in options.models.split(",")], options.methods.split(",")
    real, rows = options.data / "real", []
    found = list(rates(real, methods, models))
    shutil.rmtree(real)
    for size in options.sizes.split(","):
        folder = options.data / size
        checkpoints.write_headers(folder, checkpoints.SIZES[size], max(models))
        rows += [
            asdict(_told(planned(folder, size, k, method, memory)))
            for method in methods
            for memory in MEMORY[method]
            for k in models
        ]
        shutil.rmtree(folder)
    return {"date": time.strftime("%Y-%m-%d", time.gmtime()), **machine(), "rates": found, "plans": rows}


def _told(row: Planned) -> Planned:
    print(f"{row.size} B x {row.models} {row.method}: planned in {row.planning:.1f} s", flush=True)
    return row


def show(result: Mapping[str, Any], page: Path) -> None:
    """Write the page's tables and figure."""
    said = f"{result['machine']}, {result['date']}, code `{result['code']}`.\n"
    put(page, {"plans": plan_table(result), "walls": wall_table(result), "rates": f"{said}\n{rate_table(result)}"})
    figure(result, page.parent / FIGURE)


def _place(row: dict[str, Any]) -> tuple[float, int, int, int]:
    return float(row.get("size", 0)), list(METHODS).index(row["method"]), row.get("memory", 0), row["models"]


def main() -> None:
    """Measure, or show again what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="7,70,700")
    parser.add_argument("--models", default="2,8,20")
    parser.add_argument("--methods", default=",".join(METHODS), help="rows of others stay as they are")
    parser.add_argument("--data", type=Path, default=Path("/dev/shm/solera-scale"))
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "scale.md")
    parser.add_argument("--show", action="store_true", help="write the page from the results that are there")
    options = parser.parse_args()
    if not options.show:
        result = measure(options)
        known = json.loads(RESULT.read_text()) if RESULT.exists() else {"rates": [], "plans": []}
        for name in ("rates", "plans"):
            kept = [row for row in known[name] if row["method"] not in options.methods.split(",")]
            result[name] = sorted(kept + result[name], key=_place)
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    show(json.loads(RESULT.read_text()), options.page)


if __name__ == "__main__":
    main()
