"""What a worker sees of its operands: the system's own pages of local files, else a copy in memory it uses again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solera.checkpoints import net
from solera.checkpoints.contract import ByteReader
from solera.checkpoints.mapped import LEAST, View
from solera.checkpoints.reader import FileReader
from solera.errors import CheckpointError
from solera.ops.kernels.buffers import Buffers


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file that belong together: one operand of a leaf."""

    path: str
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Windows:
    """Each thread's own operands, by slot; what a slot shows is good until the thread asks for the slot again.

    `room`: bytes that may stay mapped for a thread beyond what its slots show. `ahead`: what follows in a span is
    mapped along.
    """

    reader: ByteReader
    buffers: Buffers
    room: int = 0
    ahead: bool = True
    _own: threading.local = field(default_factory=threading.local)

    def share(self, operands: int) -> int:
        """Bytes that may stay mapped for each of so many operands: those of earlier leaves have theirs until then."""
        return self.room // max(len(self._views), operands)

    def at(self, slot: int, span: Span, start: int, stop: int, operands: int = 1) -> NDArray[np.uint8]:
        """Bytes [start, stop) of a span, one of so many operands; not to be written to.

        Raises:
            CorruptFile, SourceChanged, CheckpointError: as `ByteReader.pread`.
        """
        if isinstance(self.reader, FileReader) and stop - start >= LEAST:
            view, at = self._view(self.reader, slot, span.path), span.offset
            keep, until = self.share(operands), at + span.nbytes if self.ahead else 0
            shown = None if view is None else self.reader.show(view, at + start, at + stop, keep, until)
            if shown is not None:
                return shown
        return self.reader.pread(span.path, span.offset + start, stop - start, self.buffers.at(slot, stop - start))

    def soon(self, spans: Sequence[Span]) -> None:
        """Have spans of local files read ahead from their disk."""
        if isinstance(self.reader, FileReader):
            for span in spans:
                self.reader.soon(span.path, span.offset, span.nbytes)

    def runs(self, span: Span, starts: Sequence[int], nbytes: int) -> NDArray[np.uint8]:
        """Runs of `nbytes` bytes from many places of a span, one after another, as a copy.

        Raises:
            CorruptFile, SourceChanged, CheckpointError: as `ByteReader.pread`.
        """
        offsets = [span.offset + start for start in starts]
        if isinstance(self.reader, FileReader) and "://" not in span.path:
            return self.reader.gather(span.path, offsets, nbytes)
        return np.concatenate([self.reader.pread(span.path, offset, nbytes) for offset in offsets])

    def _view(self, reader: FileReader, slot: int, path: str) -> View | None:
        """The view of a file: the slot's own, where that is the last one."""
        kept = self._views.get(slot)
        if kept is not None and kept.path == path:
            return kept
        del kept
        self._views.pop(slot, None)
        made = reader.view(path)
        if made is not None:
            self._views[slot] = made
        return made

    def check(self, spans: Sequence[Span]) -> None:
        """Make sure that what this thread saw of spans, once it has been worked on, was there.

        Raises:
            CorruptFile, SourceChanged, CheckpointError: a mapped page could not be read; what was made is of no use.
        """
        if not net.ever_missed() or not any(view.lost for view in self._views.values()):
            return
        for span in spans:
            self.reader.pread(span.path, span.offset + span.nbytes - 1, 1)
        raise CheckpointError("A file could not be read while it was in use.", fix="check the disk or network mount")

    @property
    def _views(self) -> dict[int, View]:
        views: dict[int, View] = self._own.__dict__.setdefault("views", {})
        return views
