"""Readers that misbehave on purpose, and files held in memory: for tests of code that reads models."""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from solera.checkpoints.contract import ByteReader
from solera.checkpoints.reader import FileReader, cannot_read
from solera.errors import CorruptFile, NotFound, SourceChanged

if TYPE_CHECKING:
    import numpy as np


class MemoryReader:
    """A reader of files that exist only in memory.

    Example:
        >>> MemoryReader({"a.bin": b"hello"}).pread("a.bin", 1, 3).tobytes()
        b'ell'
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Serve `files`, by path."""
        self.files = dict(files)
        self.bytes_read = 0

    def pread(
        self,
        path: str,
        offset: int,
        nbytes: int,
        out: np.ndarray[Any, np.dtype[np.uint8]] | None = None,  # noqa: ARG002
    ) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """As `FileReader.pread`."""
        import numpy as np

        if path not in self.files:
            raise NotFound("There is no such file.", where=path)
        data = self.files[path][offset : offset + nbytes]
        if len(data) < nbytes:
            raise CorruptFile("The file ends early.", where=path, want=f"{nbytes} bytes from {offset}")
        self.bytes_read += nbytes
        return np.frombuffer(data, dtype=np.uint8).copy()


@dataclass(frozen=True, slots=True)
class ReadFault:
    """What goes wrong, and when.

    Attributes:
        kind: "eio": the disk fails; "short": the file ends early; "changed": it was replaced; "flip": one bit of the
            data is wrong, and nobody says so.
        path: only files whose path contains this text. after: reads of such files that still succeed.
        times: how many reads fail (None: all that follow).
    """

    kind: Literal["eio", "short", "changed", "flip"]
    path: str = ""
    after: int = 0
    times: int | None = None


class FaultyReader:
    """A reader that fails as told, with the errors that `FileReader` would raise.

    Example:
        >>> reader = FaultyReader(ReadFault("eio", after=1), inner=MemoryReader({"a": b"xy"}))
        >>> reader.pread("a", 0, 1).tobytes()
        b'x'
        >>> reader.pread("a", 1, 1)
        Traceback (most recent call last):
        ...
        solera.errors.CheckpointError: CheckpointError: The file could not be read.
          where: a
          got:   Input/output error
          fix:   check the disk or network mount
    """

    def __init__(self, *faults: ReadFault, inner: ByteReader | None = None) -> None:
        """Read through `inner` (a `FileReader` if none is given), with `faults`."""
        self._inner = inner if inner is not None else FileReader()
        self._faults = faults
        self._seen = [0] * len(faults)
        self._lock = threading.Lock()

    @property
    def bytes_read(self) -> int:
        """Bytes read without fault."""
        return self._inner.bytes_read

    def pread(
        self, path: str, offset: int, nbytes: int, out: np.ndarray[Any, np.dtype[np.uint8]] | None = None
    ) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Read, or fail."""
        due = self._due(path)
        for kind in due - {"flip"}:
            raise _error(kind, path)
        data = self._inner.pread(path, offset, nbytes, out)
        if "flip" in due and nbytes:
            data[nbytes // 2] ^= 1
        return data

    def _due(self, path: str) -> set[str]:
        due: set[str] = set()
        with self._lock:
            for i, fault in enumerate(self._faults):
                if fault.path in path:
                    nth, self._seen[i] = self._seen[i], self._seen[i] + 1
                    if nth >= fault.after and (fault.times is None or nth < fault.after + fault.times):
                        due.add(fault.kind)
        return due


def _error(kind: str, path: str) -> Exception:
    if kind == "eio":
        return cannot_read(path, OSError(errno.EIO, "Input/output error"))
    if kind == "short":
        return CorruptFile("The file ends early.", where=path)
    return SourceChanged("An input file changed while it was in use.", where=path, fix="start the run again")
