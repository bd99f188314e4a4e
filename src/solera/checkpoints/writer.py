"""Writing files whose layout is known: sized first, then filled at any offset from any thread."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from solera.checkpoints.shards import ShardLayout, index_json, layout, shard_layout
from solera.errors import NoSpace, RunError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "PositionedFile",
    "ShardLayout",
    "index_json",
    "layout",
    "open_for_writing",
    "pwrite",
    "shard_layout",
    "tensor_bytes",
]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SPARE = 2
"""Times a file's size that must be free, or its space is reserved."""

_CANNOT_PRESIZE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class PositionedFile:
    """A file of fixed size that threads fill at any offset; what was there before is kept, so a run can be resumed."""

    in_order = False

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        """Wrap an open descriptor; use `open_for_writing`."""
        self.path, self.size, self._descriptor = path, size, descriptor

    def write(self, offset: int, data: Any) -> None:
        """Write a contiguous buffer (bytes, memoryview, numpy array) at `offset`.

        Raises:
            NoSpace: the disk is full. RunError: it cannot be written.
        """
        try:
            pwrite(self._descriptor, data, offset)
        except OSError as error:
            raise _cannot_write(self.path, self.size, error) from None

    def sync(self) -> None:
        """Wait until the data are on the disk."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise _cannot_write(self.path, self.size, error) from None

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self.close()


def open_for_writing(path: str | Path, size: int) -> PositionedFile:
    r"""Open (or create) a file of exactly `size` bytes, its space reserved where the disk is short of it.

    Raises:
        NoSpace: the disk cannot hold it. RunError: the folder may not be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "out.bin")
        >>> with open_for_writing(path, 4) as file:
        ...     file.write(2, b"ok")
        >>> path.read_bytes()
        b'\x00\x00ok'
    """
    path = Path(path)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise _cannot_write(path, size, error) from None
    try:
        _presize(descriptor, size)
    except OSError as error:
        os.close(descriptor)
        raise _cannot_write(path, size, error) from None
    return PositionedFile(path, descriptor, size)


def pwrite(descriptor: int, data: Any, offset: int) -> None:
    """Write all of a contiguous buffer at `offset`; raises OSError as the system does."""
    view = memoryview(data).cast("B")
    done = 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], offset + done)


def tensor_bytes(tensor: Tensor) -> memoryview:
    r"""The bytes of a tensor in row-major order, without a copy where it is contiguous.

    Example:
        >>> import torch
        >>> bytes(tensor_bytes(torch.tensor([1, 2], dtype=torch.int16)))
        b'\x01\x00\x02\x00'
    """
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def _presize(descriptor: int, size: int) -> None:
    """Give a file its size; where little more is free, reserve its space, so that nobody else can take it meanwhile.

    Elsewhere a hole will do: a file system in memory reserves by writing zeros, an eighth of a merge's time.
    """
    if hasattr(os, "posix_fallocate") and size > 0 and _room(descriptor) < SPARE * size:
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in _CANNOT_PRESIZE:
                raise
    os.ftruncate(descriptor, size)


def _room(descriptor: int) -> int:
    """Free bytes on a file's disk."""
    state = os.fstatvfs(descriptor)
    return state.f_bavail * state.f_frsize


def _cannot_write(path: Path, size: int, error: OSError) -> RunError:
    if error.errno in _FULL:
        return NoSpace(
            "There is not enough space for the output.",
            where=str(path),
            got=f"{_free(path)} ({error.strerror})",
            want=f"{size} bytes for this file",
            fix="free some space, or choose another folder",
        )
    return RunError(
        "The output could not be written.",
        where=str(path),
        got=error.strerror or str(error),
        fix="choose a folder that you may write",
    )


def _free(path: Path) -> str:
    with contextlib.suppress(OSError):
        state = os.statvfs(path.parent)
        return f"{state.f_bavail * state.f_frsize} bytes free"
    return "no space"
