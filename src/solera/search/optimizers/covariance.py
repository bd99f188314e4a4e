"""CMA-ES, by the library cmaes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from solera.errors import BadParameter, MissingExtra
from solera.search.optimizers.contract import Losses, worst_of
from solera.search.space import Space, Unit

SIGMA = 1 / 6
"""First step, as a share of every range."""


@dataclass(eq=False)
class Covariance:
    """CMA-ES in the unit cube; one objective.

    Population 4 + floor(3 ln n) for n genes, first step 1/6, as in arXiv:2403.13187; the first point is the start.

    Raises:
        MissingExtra: cmaes is not installed. BadParameter: several objectives.
    """

    space: Space
    seed: int = 0
    size: int | None = None
    objectives: int = 1
    _inner: Any = field(init=False)
    _fresh: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        """Start at the space's start."""
        try:
            from cmaes import CMA
        except ImportError:
            raise MissingExtra("search", needed_for="CMA-ES") from None
        if self.objectives != 1:
            raise BadParameter("CMA-ES has one objective.", got=self.objectives, fix="use --optimizer nsga2")
        count = len(self.space)
        size = self.size or 4 + math.floor(3 * math.log(count))
        # One dimension is too few for the library: a second one that nothing depends on is searched beside it.
        mean = np.array([*self.space.unit(self.space.start), *([0.5] if count == 1 else [])])
        bounds = np.array([[0.0, 1.0]] * len(mean))
        self._inner = CMA(mean, SIGMA, bounds=bounds, seed=self.seed, population_size=max(2, size))

    @property
    def population(self) -> int:
        """Points of one population."""
        return int(self._inner.population_size)

    def ask(self) -> Sequence[Unit]:
        """The next population."""
        points = [tuple(map(float, self._inner.ask())) for _ in range(self.population)]
        if self._fresh:
            points[0] = tuple(map(float, self._inner.mean))
            self._fresh = False
        self._asked = points
        return [point[: len(self.space)] for point in points]

    def tell(self, points: Sequence[Unit], losses: Sequence[Losses | None]) -> None:
        """What the population scored; only the order counts."""
        del points
        worst = worst_of(losses, 1)
        scored = [(np.array(p), (loss or worst)[0]) for p, loss in zip(self._asked, losses, strict=True)]
        self._inner.tell(scored)

    @property
    def settled(self) -> bool:
        """Whether the library would stop: the distribution is a point, or ill-conditioned."""
        return bool(self._inner.should_stop())
