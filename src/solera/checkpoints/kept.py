"""Small tensors kept with the reader that read them: adapter factors, norms. Bounded, gone with the reader."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from solera.checkpoints.contract import ByteReader

if TYPE_CHECKING:
    from torch import Tensor

_KEPT_BYTES = 256_000_000
_lock = threading.Lock()
_shelves: WeakKeyDictionary[ByteReader, OrderedDict[Hashable, Tensor]] = WeakKeyDictionary()


def kept(reader: ByteReader, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
    """The tensor made by `make`, or the one kept from an earlier call with this reader and key.

    At most 256 MB are kept for a reader; the longest unused go first. Two threads may both make a tensor; the bits
    are the same. Without a reader (tensors in memory) nothing is kept.
    """
    if reader is None:
        return make()
    with _lock:
        shelf = _shelves.setdefault(reader, OrderedDict())
        if key in shelf:
            shelf.move_to_end(key)
            return shelf[key]
    made = make()
    with _lock:
        shelf[key] = made
        while len(shelf) > 1 and sum(tensor.nbytes for tensor in shelf.values()) > _KEPT_BYTES:
            shelf.popitem(last=False)
    return made
