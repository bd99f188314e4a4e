"""Merges and floors in turn in one process that is already running: what a merge costs after start-up.

python benchmarks/running.py RECIPE OUT BYTES [--repeat 3] [--threads 2] INPUT ...

Each begins as the other's output has just been deleted, so both write into the same state of memory: a machine that
hands freed memory back to its host within seconds would else give warm pages to whatever begins at once. The first
round is not counted. Prints {"ours": seconds, "cpu": processor seconds, "floor": seconds}, lists in turn, as JSON.
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


def turn(recipe: Path, out: Path, size: int, inputs: list[Path], threads: int) -> dict[str, float]:
    """One floor and one merge."""
    import solera

    under = floor(out / "floor.bin", size, inputs, threads, fsync=False)[0]
    (out / "floor.bin").unlink()
    began, spent = time.perf_counter(), time.process_time()
    solera.merge(recipe, out / "merged", threads=threads)
    took = {"ours": time.perf_counter() - began, "cpu": time.process_time() - spent, "floor": under}
    shutil.rmtree(out / "merged")
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
    given = (options.recipe, options.out, options.bytes, options.inputs, options.threads)
    rounds = [turn(*given) for _ in range(1 + options.repeat)][1:]
    print(json.dumps({name: [round(took[name], 4) for took in rounds] for name in rounds[0]}))


if __name__ == "__main__":
    main()
