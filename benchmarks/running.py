"""Merges, then floors, one after another in one process that is already running: what a merge costs after start-up.

python benchmarks/running.py RECIPE OUT BYTES [--repeat 3] [--threads 2] INPUT ...

Before each, free memory is taken by `ballast.py`, which lets go of it as the merge or the floor writes: both get pages
that were in use a moment ago. The first of each is not counted. Prints lists as JSON:
{"ours": seconds, "cpu": processor seconds, "floor": seconds}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ballast import ballast
from floor import floor

os.environ["SOLERA_CATALOG"] = "off"
Took = TypeVar("Took")


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


def repeated(times: int, hold: Callable[[], None], work: Callable[[], Took]) -> list[Took]:
    """What the work took, each time with free memory held; once before, uncounted."""
    took = []
    for _ in range(1 + times):
        hold()
        took.append(work())
    return took[1:]


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
    with ballast() as hold:
        merges = repeated(options.repeat, hold, lambda: merged(options.recipe, options.out, options.threads))
        floors = repeated(
            options.repeat, hold, lambda: copied(options.out, options.bytes, options.inputs, options.threads)
        )
    named = {"ours": [wall for wall, _ in merges], "cpu": [cpu for _, cpu in merges], "floor": floors}
    print(json.dumps({name: [round(value, 4) for value in values] for name, values in named.items()}))


if __name__ == "__main__":
    main()
