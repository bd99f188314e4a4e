"""Where the bytes of a run go, and who is told of finished work: files and a journal, or memory and nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from solera.execute.journal import ChunkKey


class Target(Protocol):
    """What takes bytes at any offset, from any thread: a file, or a buffer in memory."""

    @property
    def in_order(self) -> bool:
        """Whether later bytes of the run wait for earlier ones, so that work must not run ahead of them."""
        ...

    def write(self, offset: int, data: Any) -> None:
        """Take a contiguous buffer of bytes at `offset`."""
        ...


class Record(Protocol):
    """What is told of finished work: a journal, or nobody."""

    def chunk(self, key: ChunkKey, digest: str, nbytes: int) -> None:
        """A chunk is written."""
        ...

    def summary(self, stage: int, rounds: int, value: Any) -> None:
        """A whole-model summary is finished."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where an output tensor's bytes go."""

    file: Target
    offset: int


class Nowhere:
    """A target that keeps nothing: what a run takes without a disk to write to is measured with it.

    Example:
        >>> Place(Nowhere(), 0).file.write(3, b"gone")
    """

    in_order = False

    def write(self, offset: int, data: Any) -> None:
        """Nothing is kept."""
