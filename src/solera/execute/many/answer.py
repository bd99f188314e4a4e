"""What a node says of itself before it gets work."""

from __future__ import annotations

import time
from typing import Any

from solera.execute.many.parcels import unpacked
from solera.execute.many.software import software
from solera.execute.many.worker import read_mark

SHOWS = 5.0
"""Seconds that a new file may take to be seen on a network file system."""


def answer(wanted: bytes) -> dict[str, Any]:
    """What is there, and the nonce that is read in the staging folder."""
    orders = unpacked(wanted)
    until = time.monotonic() + SHOWS
    while (mark := read_mark(orders.mark)) != orders.run and time.monotonic() < until:
        time.sleep(0.1)
    return {"software": software(orders.plugins, orders.methods), "mark": mark}
