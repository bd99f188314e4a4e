"""Memory that a worker uses again: fresh pages cost more than the bytes that are read into them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Buffers:
    """Each thread's own buffers, by slot; a slot's content is good until the thread asks for the slot again.

    Example:
        >>> buffers = Buffers()
        >>> first = buffers.at(0, 4)
        >>> first.size, np.shares_memory(first, buffers.at(0, 2)), np.shares_memory(first, buffers.at(1, 4))
        (4, True, False)
    """

    _own: threading.local = field(default_factory=threading.local)

    def at(self, slot: int, nbytes: int) -> NDArray[np.uint8]:
        """A writable array of `nbytes` bytes; what it holds is left from the last use."""
        slots: dict[str, Any] = self._own.__dict__
        if slots.get(name := str(slot)) is None or slots[name].size < nbytes:
            slots[name] = np.empty(nbytes, np.uint8)
        view: NDArray[np.uint8] = slots[name][:nbytes]
        return view
