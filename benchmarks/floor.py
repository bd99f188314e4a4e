"""The floor: read every input once, write one file of the output's size; two threads, reused buffers, nothing else.

python benchmarks/floor.py OUT BYTES [--threads 2] [--fsync] INPUT ...

Prints the seconds that the reading and writing took, without the interpreter's start.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

BLOCK = 1 << 19


def work(inputs: list[tuple[int, int]], out: int, size: int, cursor: count[int]) -> None:
    """Take the next block, read it from every input, write it, until the longest input ends."""
    buffer = memoryview(bytearray(BLOCK))
    longest = max([size, *(length for _, length in inputs)])
    while (low := next(cursor) * BLOCK) < longest:
        for descriptor, length in inputs:
            if low < length:
                os.preadv(descriptor, [buffer[: min(BLOCK, length - low)]], low)
        if low < size:
            os.pwrite(out, buffer[: min(BLOCK, size - low)], low)


def floor(out: Path, size: int, paths: list[Path], threads: int, *, fsync: bool) -> tuple[float, float]:
    """Seconds of reading and writing, and of the fsync after it."""
    with ExitStack() as opened:
        files = [opened.enter_context(path.open("rb", buffering=0)) for path in paths]
        target = opened.enter_context(out.open("wb", buffering=0))
        inputs = [(file.fileno(), path.stat().st_size) for file, path in zip(files, paths, strict=True)]
        return _timed(inputs, target.fileno(), size, threads, fsync=fsync)


def _timed(inputs: list[tuple[int, int]], target: int, size: int, threads: int, *, fsync: bool) -> tuple[float, float]:
    began = time.perf_counter()
    os.posix_fallocate(target, 0, size)
    cursor = count()
    workers = [threading.Thread(target=work, args=(inputs, target, size, cursor)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done = time.perf_counter()
    if fsync:
        os.fsync(target)
    return done - began, time.perf_counter() - done


def main() -> None:
    """Measure once and print the two figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("bytes", type=int)
    parser.add_argument("inputs", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fsync", action="store_true")
    options = parser.parse_args()
    print(*floor(options.out, options.bytes, options.inputs, options.threads, fsync=options.fsync))


if __name__ == "__main__":
    main()
