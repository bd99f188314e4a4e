"""Merges, then floors, one after another in one process that is already running: what a merge costs after start-up.

python benchmarks/running.py RECIPE OUT BYTES [--repeat 3] [--threads 2] INPUT ...

Before each, as much memory as the output takes is touched and given back to the system: a machine that hands freed
memory back to its host within seconds would else give warm pages to the quick and cold ones to the others, at three
times the price. The first of each is not counted. Prints lists as JSON: {"ours": seconds, "cpu": processor seconds,
"floor": seconds}.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import shutil
import time
from pathlib import Path

from floor import floor

os.environ["SOLERA_CATALOG"] = "off"


def warm(nbytes: int) -> None:
    """Have the host give memory for what will be written."""
    with mmap.mmap(-1, nbytes) as memory:
        for page in range(0, nbytes, mmap.PAGESIZE):
            memory[page] = 1


def merged(recipe: Path, out: Path, threads: int) -> tuple[float, float]:
    """Wall and processor seconds of one merge."""
    import solera

    began, spent = time.perf_counter(), time.process_time()
    solera.merge(recipe, out / "merged", threads=threads)
    took = time.perf_counter() - began, time.process_time() - spent
    shutil.rmtree(out / "merged")
    return took


def copied(out: Path, size: int, inputs: list[Path], threads: int) -> float:
    """Seconds of one floor."""
    took = floor(out / "floor.bin", size, inputs, threads, fsync=False)[0]
    (out / "floor.bin").unlink()
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("bytes", type=int)
    parser.add_argument("inputs", type=Path, nargs="+")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    merges, floors = [], []
    for _ in range(1 + options.repeat):
        warm(options.bytes)
        merges.append(merged(options.recipe, options.out, options.threads))
    for _ in range(1 + options.repeat):
        warm(options.bytes)
        floors.append(copied(options.out, options.bytes, options.inputs, options.threads))
    merges, floors = merges[1:], floors[1:]
    named = {"ours": [wall for wall, _ in merges], "cpu": [cpu for _, cpu in merges], "floor": floors}
    print(json.dumps({name: [round(value, 4) for value in values] for name, values in named.items()}))


if __name__ == "__main__":
    main()
