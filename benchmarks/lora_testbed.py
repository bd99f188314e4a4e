"""Merges of the adapters of vision-8, tuned alike on validation images and scored on test images.

python benchmarks/lora_testbed.py [--size small] [--seeds 0,1,2] [--cache FOLDER] [--only ENTRY,...] [--page]

Each entry gets the same eight coefficients. Appends leaderboard records of the variant `lora` to
results/leaderboard/beside, from which the claim ledger is judged, and writes the table of docs/lora.md; a row that is
there is not taken again. The experts are the adapters, each on the base and on its own task.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import beside
import torch

from solera.app import AdapterMerge, lora_merge
from solera.bench.arena import Arena, Made, tensors_of
from solera.methods.lora.inner import MethodRef
from solera.types import LoraRef, ModelRef

VARIANT = beside.Variant("vision-8", "lora", adapters=True)
PAGE = beside.DOCS / "lora.md"
SCALES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
SPACES = ("full_space", "knots", "core_space")
INNER: Mapping[str, Mapping[str, Any]] = {"ties": {"density": 0.2}, "tsv_m": {}, "iso_c": {}, "task_arithmetic": {}}
ENTRIES = {
    "sum": ("sum", ""),
    **{f"{space}.{inner}": (space, inner) for inner in INNER for space in SPACES},
}
"""Entry -> (method for adapters, the method that merges in its space)."""
INTRODUCTION = """\
`python benchmarks/lora_testbed.py`: eight rank-4 adapters of the testbed `vision-8`, the same eight coefficients for
each entry, chosen on validation images, then test images, with 95 % intervals over seeds and images. Held-in and
damaged in percent of what each adapter has alone on its own task, unseen in percent. `knots.ties` is TIES in the space
of KnOTS. What the papers claim of these rows stands in [claims.md](claims.md)."""


def wanted(arena: Arena, entry: str, scale: float) -> AdapterMerge:
    """The merge of all adapters with one coefficient."""
    method, inner = ENTRIES[entry]
    paths = tuple(model.loras[0].path for model in arena.experts.values())
    if not inner:
        return AdapterMerge(paths, method, {"weight": scale})
    return AdapterMerge(paths, method, inner=MethodRef(inner, {**INNER[inner], "lambda": scale}))


def made(arena: Arena, entry: str, scale: float, out: Path) -> Made:
    """The base with the merged adapter, and the processor time of the merge."""
    began = time.process_time()
    report = lora_merge(wanted(arena, entry, scale), out, force=True)
    seconds = time.process_time() - began
    tensors = tensors_of(ModelRef(arena.base.path, loras=(LoraRef(str(out)),)))
    return Made(tensors, seconds, 0, 0, report.digest)


def run(size: str, seeds: Iterable[int], cache: Path | None, only: Iterable[str]) -> None:
    """Everything that is missing."""
    chosen = list(only) or list(ENTRIES)
    for seed in seeds:
        arena, _ = beside.opened(VARIANT, size, seed, cache)
        beside.references(VARIANT, arena)
        there = beside.filed(VARIANT, arena)
        for entry in (each for each in chosen if (each, "tuned") not in there):
            with tempfile.TemporaryDirectory() as folder:
                take(arena, entry, Path(folder, "merged"))


def take(arena: Arena, entry: str, out: Path) -> None:
    """Choose the coefficient, file the row."""
    settings = [{"lambda": scale} for scale in SCALES]
    method = " with ".join(filter(None, ENTRIES[entry]))
    run = beside.of_one(arena, lambda values: made(arena, entry, values["lambda"], out))
    beside.file(VARIANT, arena, beside.tuned(arena, entry, method, settings, run))


def page(size: str) -> str:
    """What was measured, as Markdown; nothing where nothing was."""
    found = VARIANT.board(size)
    if found is None:
        return ""
    shown = [line for line in found.lines if line.name[0] in ENTRIES or line.name[0] in ("experts", "base")]
    rows = [
        [
            beside.label(line),
            *beside.groups(line),
            len(line.seeds),
            f"{line.seconds:.2f}" if line.name[0] in ENTRIES else "–",
        ]
        for line in shown
    ]
    table = beside.table(("", "held-in", "unseen", "damaged", "seeds", "CPU s of the merge"), rows)
    return f"{INTRODUCTION}\n\n{table}"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--only", default="", help="entries: " + ", ".join(ENTRIES))
    parser.add_argument("--page", action="store_true", help="write the page only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.page:
        only = [name for name in options.only.split(",") if name]
        run(options.size, map(int, options.seeds.split(",")), options.cache, only)
    beside.put(PAGE, page(options.size))


if __name__ == "__main__":
    main()
