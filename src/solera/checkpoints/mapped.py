"""Files of this machine as memory: their bytes where the system holds them, without a copy."""

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
"""Bytes of the smallest file that is mapped, and of the smallest part: to copy fewer costs less."""

AROUND = 1 << 21
"""Where a file lies in large pieces in memory, the system maps the whole of a piece, up to this many bytes."""

ALIGNED = 8
"""Views begin at multiples of this, so that every element is where the processor wants it."""

_POPULATE_READ, _DONT_NEED = 22, 4
"""madvise: map all pages now, and say so where one cannot be read; take them out of this process."""


@dataclass(slots=True, eq=False)
class View:
    """A file, read-only, of which a part is shown at a time: only pages near it are in the process's memory.

    All of them leave it, and the net, with the last array that shows them. `low`, `high`: where they are, of which
    from `whole` on none is missing. `address`: of the file's first byte.
    """

    path: str
    data: NDArray[np.uint8]
    address: int
    place: int
    low: int = 0
    whole: int = 0
    high: int = 0

    def show(self, start: int, stop: int, keep: int = 0, until: int = 0) -> NDArray[np.uint8] | None:
        """Bytes [start, stop) of the file; None where not all can be read, or they do not begin where elements may.

        What was shown before leaves the process's memory, unless all of it is at most `keep` bytes. As many such parts
        as `keep` allows are brought there along, up to `until`: bytes that are there cost no call of the system.

        Cost: what the system does not hold yet is read from the disk now; else some 0.05 ms per MiB. Pages that leave
        stop the process's other threads for as long again, however many they are.
        """
        if start % ALIGNED or stop > self.data.size:
            return None
        return self.data[start:stop] if self.holds(start, stop) or self._bring(start, stop, keep, until) else None

    def holds(self, start: int, stop: int) -> bool:
        """Whether bytes [start, stop) have been brought into the process's memory."""
        return self.whole <= start and stop <= self.high

    def _bring(self, start: int, stop: int, keep: int, until: int) -> bool:
        """Have pages mapped; False where not all can be read."""
        if start < self.low or stop - self.low > keep:
            self._release()
            self.low = self.whole = self.high = start
        if not self.whole <= start <= self.high:
            self.whole = start
        parts = (self.low + keep - start) // max(stop - start, 1)
        self.high = max(self.high, stop, min(until, start + parts * (stop - start)))
        begin = self.address + start
        if _advised(begin // net.PAGE * net.PAGE, self.address + self.high, _POPULATE_READ):
            return True
        self.whole = self.high
        return False

    def _release(self) -> None:
        """Take what was shown out of this process, with what the system may have mapped along."""
        if self.low == self.high:
            return
        first = self.address
        begin, end = (first + self.low) // AROUND * AROUND, -(-(first + self.high) // AROUND) * AROUND
        _advised(max(begin, first), min(end, first + self.data.size), _DONT_NEED)

    @property
    def lost(self) -> bool:
        """Whether a page could not be read when it was used: the file was cut short, or its disk fails."""
        return net.missed(self.place)


def view(path: str, descriptor: int, nbytes: int) -> View | None:
    """An open file of so many bytes, nothing shown yet; None where a copy must do."""
    if nbytes < LEAST or not net.spread():
        return None
    try:
        pages = mmap.mmap(descriptor, nbytes, prot=mmap.PROT_READ)
    except (OSError, ValueError):  # a file that is not all there, or no room for one more
        return None
    data = np.frombuffer(pages, np.uint8)
    address = data.ctypes.data
    place = net.enter(address, address + data.size)
    if place is None:
        return None
    weakref.finalize(data, net.leave, place)
    return View(path, data, address, place)


def _advised(begin: int, end: int, what: int) -> bool:
    """Tell the system about the pages of [begin, end); whether it could do it."""
    return bool(_advise()(begin, end - begin, what) == 0)


@cache
def _advise() -> Any:
    """C's madvise; through ctypes, other threads go on meanwhile."""
    call = ctypes.CDLL(None).madvise
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return call
