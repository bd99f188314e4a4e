"""The two-parameter logistic model in several dimensions, and its fit to answers.

Source: "MERGE3: Efficient Evolutionary Merging on Consumer-grade GPUs" (arXiv:2502.10436), section 3, after
tinyBenchmarks (arXiv:2402.14992). Item parameters are fitted here, on the answers of the models at hand; nothing is
downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.errors import BadParameter, MissingExtra

Array = NDArray[np.float64]

CLIP = 30.0
"""Arguments of the logistic function are kept within this, as in the public code."""
RIDGE = 1.0
"""Weight of the prior: all parameters are normal around 0 (the first discrimination around 1), variance 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """What is known of items. P(right | ability t) = 1 / (1 + exp(-(a . t - b))).

    Attributes:
        discrimination: a, (dimensions, items). difficulty: b, (items,).

    Differs:
        The public code subtracts b once for each dimension; that is a difficulty of dimensions times b here.
    """

    discrimination: Array
    difficulty: Array

    def __len__(self) -> int:
        """Number of items."""
        return int(self.difficulty.shape[0])

    @property
    def dimensions(self) -> int:
        """Of an ability."""
        return int(self.discrimination.shape[0])

    def at(self, places: Any) -> Items:
        """Some of the items."""
        kept = np.asarray(places, dtype=int)
        return Items(self.discrimination[:, kept], self.difficulty[kept])

    def right(self, ability: Array) -> Array:
        """Probability of a right answer to each item.

        Shape: (dimensions,) -> (items,), or (models, dimensions) -> (models, items).

        Example:
            >>> Items(np.array([[2.0]]), np.array([0.3])).right(np.array([0.5])).round(6).tolist()
            [0.668188]
        """
        return logistic(np.asarray(ability) @ self.discrimination - self.difficulty)


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), x kept within `CLIP`."""
    found: Array = 1.0 / (1.0 + np.exp(-np.clip(x, -CLIP, CLIP)))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Items, and the abilities of the models that they were fitted on, (models, dimensions)."""

    items: Items
    abilities: Array


def fit(answers: Array, *, dimensions: int = 1, ridge: float = RIDGE, seed: int = 0, rounds: int = 500) -> Fitted:
    """Fit items and abilities together, at the maximum of likelihood times prior, by L-BFGS.

    Args:
        answers: (models, items), numbers in [0, 1]; NaN where a model was not asked.
        dimensions: of abilities.
        ridge: weight of the prior.
        seed: of the start.
        rounds: of L-BFGS, at most.

    Raises:
        BadParameter: there are fewer than two models, no items, or numbers outside [0, 1].
        MissingExtra: scipy is not installed.

    Cost: each round two products (models, dimensions) x (dimensions, items).

    Example:
        >>> fitted = fit(np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
        >>> fitted.abilities[:, 0].argsort().tolist()
        [1, 0, 2]
    """
    known = _checked(answers, dimensions)
    models, count = answers.shape
    told = np.where(known, answers, 0.0)
    centre = np.zeros((dimensions, count))
    centre[0] = 1.0
    rng = np.random.default_rng(seed)
    start = np.concatenate([
        (centre + 0.1 * rng.standard_normal((dimensions, count))).ravel(),
        np.zeros(count),
        0.1 * rng.standard_normal(models * dimensions) + np.repeat(_spread(told, known), dimensions),
    ])  # fmt: skip

    def loss(flat: Array) -> tuple[float, Array]:
        a, b, t = _parts(flat, models, count, dimensions)
        p = logistic(t @ a - b)
        gap = np.where(known, p - told, 0.0)
        nats = -np.sum(np.where(known, told * np.log(p) + (1 - told) * np.log1p(-p), 0.0))
        prior = 0.5 * ridge * (np.sum((a - centre) ** 2) + np.sum(b**2) + np.sum(t**2))
        slope = [t.T @ gap + ridge * (a - centre), ridge * b - gap.sum(0), gap @ a.T + ridge * t]
        return float(nats + prior), np.concatenate([part.ravel() for part in slope])

    a, b, t = _parts(minimum(loss, start, rounds), models, count, dimensions)
    return Fitted(Items(a, b), t)


def minimum(loss: Callable[[Array], tuple[float, Array]], start: Array, rounds: int = 500) -> Array:
    """Where a function is least, by L-BFGS; `loss` gives value and slope.

    Raises:
        MissingExtra: scipy is not installed.
    """
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise MissingExtra("search", needed_for="an item response model") from None
    found: Array = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": rounds}).x
    return found


def _parts(flat: Array, models: int, count: int, dimensions: int) -> tuple[Array, Array, Array]:
    a, b, t = np.split(flat, [dimensions * count, dimensions * count + count])
    return a.reshape(dimensions, count), b, t.reshape(models, dimensions)


def _spread(told: Array, known: NDArray[np.bool_]) -> Array:
    """A first guess of abilities: standardised accuracies."""
    means: Array = told.sum(1) / np.maximum(known.sum(1), 1)
    spread = float(means.std())
    return (means - means.mean()) / spread if spread > 0 else np.zeros_like(means)


def _checked(answers: Array, dimensions: int) -> NDArray[np.bool_]:
    """Which answers are known."""
    if answers.ndim != 2 or answers.shape[0] < 2 or not answers.shape[1]:
        raise BadParameter("The answers are not usable.", got=answers.shape, want="two models or more, and items")
    if dimensions < 1:
        raise BadParameter("`dimensions` is not usable.", got=dimensions, want="1 or more")
    known: NDArray[np.bool_] = ~np.isnan(answers)
    if not np.all((answers[known] >= 0) & (answers[known] <= 1)):
        fix = "use tasks whose headline metric is accuracy or exact match"
        raise BadParameter("The answers are no shares of right.", want="numbers in [0, 1]", fix=fix)
    return known
