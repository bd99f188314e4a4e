"""What stays in memory between merges of the same models: opened checkpoints, and the bytes of small files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from solera.checkpoints import FileReader, open_checkpoint
from solera.checkpoints.contract import Checkpoint
from solera.checkpoints.reader import Stamp
from solera.errors import CorruptFile
from solera.types import ModelRef

if TYPE_CHECKING:
    import numpy as np

    Bytes = np.ndarray[Any, np.dtype[np.uint8]]

MOST_OPENED = 256
"""Checkpoints remembered."""
MOST_BYTES = 256 << 20
"""Bytes of files held; files that do not fit beside the others are read range by range."""

Marks = tuple[tuple[str, int, int, int], ...]
"""(file, inode, size, time of the last change) of everything that an opened model was read from."""

_LOCK = Lock()
_OPENED: dict[ModelRef, tuple[Marks, Checkpoint]] = {}
_HELD: dict[str, tuple[Stamp, Bytes]] = {}


def open_again(ref: ModelRef) -> Checkpoint:
    """Open a model, or take it as it was opened before when none of its files has changed. Hub ids are opened anew.

    Example:
        >>> import tempfile, torch, safetensors.torch
        >>> folder = tempfile.mkdtemp()
        >>> safetensors.torch.save_file({"w": torch.ones(2)}, f"{folder}/model.safetensors")
        >>> open_again(ModelRef(folder)) is open_again(ModelRef(folder))
        True
    """
    marks = _marks(ref)
    if marks is None:
        return open_checkpoint(ref)
    known = _OPENED.get(ref)
    if known is not None and known[0] == marks:
        return known[1]
    opened = open_checkpoint(ref)
    with _LOCK:
        while len(_OPENED) >= MOST_OPENED:
            _OPENED.pop(next(iter(_OPENED)))
        _OPENED[ref] = (marks, opened)
    return opened


def forget() -> None:
    """Let go of everything that is held."""
    with _LOCK:
        _OPENED.clear()
        _HELD.clear()


def _marks(ref: ModelRef) -> Marks | None:
    """What the files of a local model and its adapters look like now; None for what is not local."""
    folders = [Path(ref.path).expanduser(), *(Path(lora.path).expanduser() for lora in ref.loras)]
    folders[0] = folders[0] / (ref.subfolder or "")
    if not all(folder.exists() for folder in folders):
        return None
    return tuple(mark for folder in folders for mark in _files(folder if folder.is_dir() else folder.parent))


def _files(folder: Path) -> Iterable[tuple[str, int, int, int]]:
    with os.scandir(folder) as entries:
        files = sorted((entry.path, entry.stat()) for entry in entries if entry.is_file())
    return [(path, seen.st_ino, seen.st_size, seen.st_mtime_ns) for path, seen in files]


class HoldingReader(FileReader):
    """A reader that reads small files whole, once, and serves their ranges from memory until they change.

    Every file is looked at once per reader; `bytes_read` counts what was asked for, from wherever it came.
    """

    def __init__(self) -> None:
        """Start with what earlier readers hold."""
        super().__init__()
        self._mine: dict[str, Bytes | None] = {}
        self.served = 0

    @property
    def bytes_read(self) -> int:
        """Bytes asked for so far, by all threads."""
        return super().bytes_read + self.served

    def pread(self, path: str, offset: int, nbytes: int, out: Bytes | None = None) -> Bytes:
        """As `FileReader.pread`."""
        if path not in self._mine:
            self._mine[path] = self._hold(path)
        data = self._mine[path]
        if data is None:
            return super().pread(path, offset, nbytes, out)
        if offset + nbytes > data.size:
            raise CorruptFile(
                "The file ends early.", where=path, got=f"{data.size} bytes", want=f"{nbytes} bytes from {offset}"
            )
        with _LOCK:
            self.served += nbytes
        return data[offset : offset + nbytes].copy()

    def _hold(self, path: str) -> Bytes | None:
        stamp = Stamp.of(path)
        known = _HELD.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        with _LOCK:
            _HELD.pop(path, None)
            if stamp.size + sum(data.size for _, data in _HELD.values()) > MOST_BYTES:
                return None
        self.expect(path, stamp)
        data = super().pread(path, 0, stamp.size)
        with _LOCK:
            self.served -= stamp.size  # what is asked for is counted as it is served
            _HELD[path] = (stamp, data)
        return data
