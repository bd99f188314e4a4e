"""The method families. Calling the room lists every registered method's card: ``solera.methods()``."""

from __future__ import annotations

from solera.doors import make_callable
from solera.registry import cards

make_callable(__name__, cards)

__all__: list[str] = []
