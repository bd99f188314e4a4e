"""A stretch of a file as a seekable stream, with a budget: what parsers of untrusted files read from."""

from __future__ import annotations

import io
from typing import Any

from solera.checkpoints.contract import ByteReader
from solera.errors import UnsafeFile


class Window(io.RawIOBase):
    """Bytes [begin, begin + length) of a file; reading more than `budget` bytes in all is refused.

    Raises:
        UnsafeFile: the budget is spent (raised by the read that would pass it).
    """

    def __init__(self, reader: ByteReader, path: str, begin: int, length: int, budget: int) -> None:
        """Open the window; nothing is read yet."""
        super().__init__()
        self._reader, self._path, self._begin, self._length, self._budget = reader, path, begin, length, budget
        self._limit, self._at = budget, 0

    @property
    def most(self) -> int:
        """Bytes that can be read at most."""
        return min(self._length, self._limit + 1)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Position in the window."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; positions before the window's first byte are an OSError, as for files."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        if start + offset < 0:
            raise OSError("negative position")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` as far as the window goes."""
        count = max(0, min(len(buffer), self._length - self._at))
        self._budget -= count
        if self._budget < 0:
            what = "The file's index or pickle is too large."
            raise UnsafeFile(what, where=self._path, want=f"{self._limit} bytes at most")
        buffer[:count] = self._reader.pread(self._path, self._begin + self._at, count).tobytes() if count else b""
        self._at += count
        return count


class BoundedStream(io.BufferedReader):
    """A buffered window; a request for more than the window can give is not taken at its word."""

    def __init__(self, window: Window) -> None:
        """Buffer `window`."""
        super().__init__(window)
        self._most = window.most

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes, without setting more memory aside than there are bytes."""
        return super().read(self._most if size is None or size < 0 else min(size, self._most))
