"""A file system that fails: the n-th write, sync, rename or creation under a folder goes wrong, by real error numbers.

Calls are counted by wrapping the functions that change files; what lies outside the folder is left alone.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHANGES = ("pwrite", "write", "fsync", "rename", "replace", "mkdir", "posix_fallocate", "ftruncate", "open")
"""Functions of `os` that change files, or make their changes last."""


@dataclass
class Disk:
    """Counts changes under a folder; the one numbered `fails` (from 1) meets the error."""

    folder: Path
    fails: int = 0
    code: int = errno.EIO
    short: bool = False
    calls: list[str] = field(default_factory=list)

    def concerns(self, first: Any) -> bool:
        """Whether a call's first argument (a path or a descriptor) lies under the folder."""
        try:
            path = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else Path(first).absolute()
        except (OSError, TypeError):
            return False
        return self.folder in path.parents

    def change(self, name: str, first: Any) -> None:
        """Count a change, or fail."""
        self.calls.append(name)
        if len(self.calls) == self.fails:
            raise OSError(self.code, os.strerror(self.code), None if isinstance(first, int) else str(first))

    def wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """The function, watched."""

        def call(first: Any, *rest: Any, **options: Any) -> Any:
            writes = name != "open" or (rest and rest[0] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR))
            if writes and self.concerns(first):
                self.change(name, first)
                if self.short and name in ("pwrite", "write") and len(rest[0]) > 1:
                    return real(first, memoryview(rest[0])[: len(rest[0]) // 2], *rest[1:])
            return real(first, *rest, **options)

        return call

    def opener(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """The built-in `open`, watched where it writes."""

        def call(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
            if set(mode) & set("wax+") and not isinstance(file, int) and self.concerns(file):
                self.change("open", file)
            return real(file, mode, *rest, **options)

        return call


@contextmanager
def failing(disk: Disk) -> Iterator[Disk]:
    """Let the disk fail inside the block."""
    kept = {name: getattr(os, name) for name in CHANGES}, builtins.open, io.open
    try:
        for name, real in kept[0].items():
            setattr(os, name, disk.wrapped(name, real))
        builtins.open = io.open = disk.opener(kept[1])  # type: ignore[assignment]
        yield disk
    finally:
        for name, real in kept[0].items():
            setattr(os, name, real)
        builtins.open, io.open = kept[1], kept[2]
