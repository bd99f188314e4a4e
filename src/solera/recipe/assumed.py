"""The card that a misspelt method most likely means, so that everything else can be checked too."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from solera.registry import Card


def assumed_card(name: str, cards: Mapping[str, Card]) -> Card | None:
    """The card of that name, else of the nearest name (the name itself is reported elsewhere), else None."""
    close = [name] if name in cards else difflib.get_close_matches(name, cards, n=1, cutoff=0.6)
    return cards[close[0]] if close else None
