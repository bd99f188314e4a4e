"""Ranges of files of this machine as memory: their bytes where the system holds them, without a copy."""

from __future__ import annotations

import ctypes
import mmap
import weakref
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.checkpoints import net

LEAST = 1 << 18
"""Bytes of the smallest view: to copy fewer costs less than to map them."""

AROUND = 1 << 21
"""Where a file lies in large pieces in memory, the system maps the whole of a piece, up to this many bytes."""

ALIGNED = 8
"""Views begin at multiples of this, so that every element is where the processor wants it."""

_POPULATE_READ, _DONT_NEED = 22, 4
"""madvise: map all pages now, and say so where one cannot be read; take them out of this process."""


@dataclass(slots=True, eq=False)
class View:
    """A range of a file, read-only, of which a part is shown at a time: only its pages are in the process's memory.

    All of them leave it, and the net, with the last array that shows them.
    """

    path: str
    offset: int
    data: NDArray[np.uint8]
    place: int
    shown: NDArray[np.uint8] | None = None

    def show(self, start: int, stop: int) -> NDArray[np.uint8] | None:
        """Bytes [start, stop) of the range, in place of what was shown before; None where they cannot be read.

        Cost: what the system does not hold yet is read from the disk now; else some 0.05 ms per MiB.
        """
        if self.shown is not None:
            _advised(*self._around(self.shown), _DONT_NEED)
        self.shown = self.data[start:stop]
        begin = self.shown.ctypes.data // net.PAGE * net.PAGE
        end = self.shown.ctypes.data + self.shown.size
        return self.shown if _advised(begin, end, _POPULATE_READ) else None

    def _around(self, part: NDArray[np.uint8]) -> tuple[int, int]:
        """Addresses of a part, with those of the view that the system may have mapped along."""
        begin, end = part.ctypes.data // AROUND * AROUND, -(-(part.ctypes.data + part.size) // AROUND) * AROUND
        first = self.data.ctypes.data // net.PAGE * net.PAGE
        return max(begin, first), min(end, self.data.ctypes.data + self.data.size)

    @property
    def lost(self) -> bool:
        """Whether a page could not be read when it was used: the file was cut short, or its disk fails."""
        return net.missed(self.place)


def view(path: str, descriptor: int, offset: int, nbytes: int) -> View | None:
    """Bytes [offset, offset + nbytes) of an open file, nothing shown yet; None where a copy must do."""
    if nbytes < LEAST or offset % ALIGNED or not net.spread():
        return None
    first = offset // net.PAGE * net.PAGE
    try:
        pages = mmap.mmap(descriptor, offset + nbytes - first, prot=mmap.PROT_READ, offset=first)
    except (OSError, ValueError):  # a range that is not all there, or no room for one more
        return None
    data = np.frombuffer(pages, np.uint8)
    place = net.enter(data.ctypes.data, data.ctypes.data + data.size)
    if place is None:
        return None
    weakref.finalize(data, net.leave, place)
    return View(path, offset, data[offset - first :], place)


def _advised(begin: int, end: int, what: int) -> bool:
    """Tell the system about the pages of [begin, end); whether it could do it."""
    return bool(_advise()(begin, end - begin, what) == 0)


@cache
def _advise() -> Any:
    """C's madvise; through ctypes, other threads go on meanwhile."""
    call = ctypes.CDLL(None).madvise
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return call
