"""Holds what memory is free, and lets go of it as others take it: they get pages that were in use a moment ago.

python benchmarks/ballast.py

A virtual machine hands free memory back to its host within seconds, and what is written next gets it anew, at up to
three times the processor time; a machine of its own does no such thing. Reads lines: after each, all free memory but
`SPARE` is taken, "ready" is printed, and the memory goes as the rest of the machine asks for it. Ends with its input.
"""

from __future__ import annotations

import mmap
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

SPARE, CHUNK = 256 << 20, 16 << 20
PAUSE = 0.003


def free() -> int:
    """Bytes that nobody uses."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemFree"))


def take(held: list[mmap.mmap]) -> None:
    """Take what is free."""
    while free() > SPARE + CHUNK:
        held.append(mmap.mmap(-1, CHUNK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE))


def give(held: list[mmap.mmap]) -> None:
    """Let go of some, where others have taken from what was spare."""
    while held and free() < SPARE:
        held.pop().close()


def serve() -> None:
    """Take at every line, give between them."""
    Path("/proc/self/oom_score_adj").write_text("1000")
    held: list[mmap.mmap] = []
    while True:
        if select.select([sys.stdin], [], [], PAUSE)[0]:
            if not sys.stdin.readline():
                return
            take(held)
            print("ready", flush=True)
        give(held)


@contextmanager
def ballast() -> Iterator[Callable[[], None]]:
    """A process that holds what is free; call what comes to have it held again, and wait until it is."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield partial(_ask, process)


def _ask(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.write("take\n")
    process.stdin.flush()
    if not process.stdout.readline():
        msg = "the process that holds free memory has ended"
        raise RuntimeError(msg)


if __name__ == "__main__":
    serve()
