"""The command line, with clocks around its parts: where a merge spends its time.

python benchmarks/probe.py FIGURES.json merge RECIPE OUT ...

Everything after the first argument is solera's own. The worker functions are wrapped where the executor calls them;
the seconds of all workers are added up. Digests are the updates of the hash, the journal is the appending of lines.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SPENT: dict[tuple[str, int], float] = {}
MARKS: dict[str, float] = {}


def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, its seconds added under `name` for the thread that calls it."""

    def wrapped(*args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return work(*args, **options)
        finally:
            key = (name, threading.get_ident())
            SPENT[key] = SPENT.get(key, 0.0) + time.perf_counter() - began

    return wrapped


def marked(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; when it was first entered and last left is noted."""

    def wrapped(*args: Any, **options: Any) -> Any:
        MARKS.setdefault(f"{name} began", time.monotonic())
        try:
            return work(*args, **options)
        finally:
            MARKS[f"{name} ended"] = time.monotonic()

    return wrapped


def noted(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; its first call since the work began, which is the first for a tensor's bytes, is noted."""

    def wrapped(*args: Any, **options: Any) -> Any:
        if "work began" in MARKS:
            MARKS.setdefault("tensor began", time.monotonic())
        return work(*args, **options)

    return wrapped


class Hasher:
    """A hasher whose updates are timed."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._own = make()
        self.update = timed("digest", self._own.update)

    def hexdigest(self) -> str:
        """The digest."""
        return str(self._own.hexdigest())


def wrap() -> None:
    """Put clocks around reading, writing, digests, journal and fsync."""
    from solera.app import merging
    from solera.checkpoints.reader import FileReader
    from solera.checkpoints.writer import PositionedFile
    from solera.execute import chunks
    from solera.execute.journal import Journal

    make = chunks.hasher
    chunks.hasher = lambda: Hasher(make)  # type: ignore[assignment]
    merging.execute = marked("work", merging.execute)  # type: ignore[assignment]
    FileReader.pread = noted(timed("read", FileReader.pread))  # type: ignore[method-assign]
    FileReader.show = noted(timed("read", FileReader.show))  # type: ignore[method-assign]
    PositionedFile.write = timed("write", PositionedFile.write)  # type: ignore[method-assign]
    Journal._append = timed("journal", Journal._append)  # type: ignore[method-assign]  # noqa: SLF001
    os.fsync = timed("fsync", os.fsync)


def report(path: Path, began: float) -> None:
    """Write what was found."""
    spent: dict[str, float] = {}
    for (name, _), seconds in SPENT.items():
        spent[name] = spent.get(name, 0.0) + seconds
    marks = {name: at - began for name, at in MARKS.items()}
    path.write_text(json.dumps({"spent": spent, "marks": marks}))


def main() -> None:
    """Run solera's command line with clocks; the moment of its start comes from the parent."""
    began = float(os.environ.get("PROBE_BEGAN", time.monotonic()))
    path = Path(sys.argv.pop(1))
    atexit.register(report, path, began)
    wrap()
    from solera.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
