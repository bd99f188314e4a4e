"""Merges, then floors, one after another in one process that is already running: what a merge costs after start-up.

python benchmarks/running.py RECIPE OUT BYTES [--repeat 3] [--threads 2] INPUT ...

The first of each is not counted. Prints lists as JSON:
{"ours": seconds, "cpu": processor seconds, "floor": seconds}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path

from floor import floor

os.environ["SOLERA_CATALOG"] = "off"


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
    rounds = range(1 + options.repeat)
    merges = [merged(options.recipe, options.out, options.threads) for _ in rounds][1:]
    floors = [copied(options.out, options.bytes, options.inputs, options.threads) for _ in rounds][1:]
    named = {"ours": [wall for wall, _ in merges], "cpu": [cpu for _, cpu in merges], "floor": floors}
    print(json.dumps({name: [round(value, 4) for value in values] for name, values in named.items()}))


if __name__ == "__main__":
    main()
