"""Reading by `preadv` into memory that is used again, beside pages of the file mapped: processor seconds per GiB.

python benchmarks/reading.py [--gib 1] [--place /dev/shm] [--repeat 5]

Each way reads a file in the page cache and adds it up twice, as a method does that needs a tensor twice: in pieces of
64 MiB that are held, and in blocks of 512 KiB that stay in the cache of a core and are read again.
"""

from __future__ import annotations

import argparse
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HELD, BLOCK = 1 << 26, 1 << 19
POPULATE_READ = 22  # MADV_POPULATE_READ: maps all pages, and says so where one cannot be read


def pieces(size: int, piece: int) -> Iterator[int]:
    """Where each piece begins."""
    return iter(range(0, size, piece))


def add_up(data: NDArray[np.uint64]) -> int:
    """Look at every byte, block by block."""
    return sum(int(data[i : i + BLOCK // 8].sum()) for i in range(0, data.size, BLOCK // 8))


def held(file: int, size: int) -> None:
    """Read a piece whole, then add it up twice."""
    buffer = np.empty(HELD, np.uint8)
    for begin in pieces(size, HELD):
        os.preadv(file, [buffer.data], begin)
        for _ in range(2):
            add_up(buffer.view(np.uint64))


def again(file: int, size: int) -> None:
    """Read every block twice, and add it up each time."""
    buffer = np.empty(BLOCK, np.uint8)
    for _ in range(2):
        for begin in pieces(size, BLOCK):
            os.preadv(file, [buffer.data], begin)
            add_up(buffer.view(np.uint64))


def mapped(file: int, size: int) -> None:
    """Map a piece, all pages at once, and add it up twice."""
    for begin in pieces(size, HELD):
        with mmap.mmap(file, HELD, prot=mmap.PROT_READ, offset=begin) as pages:
            pages.madvise(POPULATE_READ)
            data = np.frombuffer(pages, np.uint64)
            for _ in range(2):
                add_up(data)
            del data


def best(way: Callable[[int, int], None], file: int, size: int, repeat: int) -> float:
    """Processor seconds per GiB, the least of some runs."""
    taken = []
    for _ in range(repeat):
        began = time.process_time()
        way(file, size)
        taken.append(time.process_time() - began)
    return min(taken) * (1 << 30) / size


def main() -> None:
    """Print one line per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=int, default=1)
    parser.add_argument("--place", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    size = options.gib << 30
    with tempfile.NamedTemporaryFile(dir=options.place) as file:
        for _ in pieces(size, HELD):
            file.write(os.urandom(1 << 20) * (HELD >> 20))
        file.flush()
        for way in (held, again, mapped):
            print(f"{way.__name__:8} {best(way, file.fileno(), size, options.repeat):.3f} CPU s / GiB")


if __name__ == "__main__":
    main()
