"""NSGA-II, by pymoo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from solera.errors import MissingExtra
from solera.search.optimizers.contract import Losses, worst_of
from solera.search.space import Space, Unit

_SIZE = 16


@dataclass(eq=False)
class Sorting:
    """NSGA-II in the unit cube with pymoo's operators (SBX, polynomial mutation); one objective or more.

    The first population is the start and points spread evenly at random around the cube.

    Raises:
        MissingExtra: pymoo is not installed.
    """

    space: Space
    seed: int = 0
    size: int | None = None
    objectives: int = 2
    _inner: Any = field(init=False)
    _asked: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Set the algorithm up without an end: the search has its own."""
        try:
            from pymoo.algorithms.moo.nsga2 import NSGA2
            from pymoo.core.problem import Problem
        except ImportError:
            raise MissingExtra("search", needed_for="NSGA-II") from None
        count = len(self.space)
        first = np.random.default_rng(self.seed).random((self.population, count))
        first[0] = self.space.unit(self.space.start)
        self._inner = NSGA2(pop_size=self.population, sampling=first)
        problem = Problem(n_var=count, n_obj=self.objectives, xl=0.0, xu=1.0)
        self._inner.setup(problem, termination=("n_gen", 10**9), seed=self.seed, verbose=False)

    @property
    def population(self) -> int:
        """Points of one population."""
        return self.size or _SIZE

    def ask(self) -> Sequence[Unit]:
        """The next population; smaller where no more new points can be found."""
        self._asked = self._inner.ask()
        return [tuple(map(float, point)) for point in self._asked.get("X")]

    def tell(self, points: Sequence[Unit], losses: Sequence[Losses | None]) -> None:
        """What the population scored."""
        del points
        worst = worst_of(losses, self.objectives)
        self._asked.set("F", np.array([loss or worst for loss in losses]))
        self._inner.tell(infills=self._asked)

    @property
    def settled(self) -> bool:
        """Whether no new points are found."""
        return not self._inner.has_next()
