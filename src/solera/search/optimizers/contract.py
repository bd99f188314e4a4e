"""Ask and tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from solera.search.space import Unit

Losses = tuple[float, ...]
"""One number for each objective, less is better; None stands for a candidate that could not be scored."""


class Optimizer(Protocol):
    """Made of a space, a seed and a size of population. The first point of the first population is the start.

    What it asks depends on nothing but these and what it was told, so that a search is repeated by telling it the same.
    """

    @property
    def population(self) -> int:
        """Points of one population."""
        ...

    def ask(self) -> Sequence[Unit]:
        """The next population, points of the unit cube."""
        ...

    def tell(self, points: Sequence[Unit], losses: Sequence[Losses | None]) -> None:
        """What the whole population scored, in the order in which it was asked for."""
        ...

    @property
    def settled(self) -> bool:
        """Whether asking further brings nothing."""
        ...


def worst_of(losses: Sequence[Losses | None], objectives: int) -> Losses:
    """What failed candidates are given: a little worse than the worst of each objective.

    Example:
        >>> worst_of([(1.0, 2.0), None, (0.0, 3.0)], 2)
        (2.0, 4.0)
    """
    scored = [row for row in losses if row is not None]
    return tuple(max((row[k] for row in scored), default=0.0) + 1.0 for k in range(objectives))
