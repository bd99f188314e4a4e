"""Estimators over several tasks: one model of all items, one ability; anchors and an estimate for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from solera.errors import BadParameter, nearest
from solera.search.contract import Items as Sets
from solera.search.contract import Outcome
from solera.search.irt.anchors import Anchors, How, choose
from solera.search.irt.estimators import NAMES, Estimator, half_and_half, p_irt, theta_of, weighted
from solera.search.irt.response import Array, Items, fit

Each = Mapping[str, Sequence[float]]
"""Task -> number of every item."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Makes scores of answers to anchors.

    Attributes:
        name: the estimator. items: task -> all its items. anchors: task -> the items that are asked.
        parents: abilities of the models that are merged.
    """

    name: Estimator
    items: Mapping[str, Items]
    anchors: Mapping[str, Anchors]
    parents: Array

    @property
    def sets(self) -> Sets:
        """What candidates are scored on."""
        return {task: anchors.places for task, anchors in self.anchors.items()}

    def of(self, outcome: Outcome) -> dict[str, float]:
        """Task -> estimated score on all items, of an outcome on the anchors that has the number of every item."""
        told = {task: np.asarray(outcome.each[task]) for task in self.anchors}
        if self.name == "mean":
            return {task: weighted(told[task], anchors) for task, anchors in self.anchors.items()}
        asked = _joined([self.items[task].at(anchors.places) for task, anchors in self.anchors.items()])
        theta = theta_of(self.name, np.concatenate(list(told.values())), asked, self.parents)
        return {task: self._one(task, told[task], theta) for task in self.anchors}

    def _one(self, task: str, answers: Array, theta: Array) -> float:
        anchors = self.anchors[task]
        found = p_irt(answers, anchors, self.items[task], theta)
        return half_and_half(answers, anchors, found) if self.name.startswith("g") else found


def calibrate(
    name: str, answers: Sequence[Each], parents: int, count: int, *, dimensions: int, how: How = "random", seed: int = 0
) -> Estimates:
    """Fit items on the answers of models, and choose anchors.

    Args:
        name: the estimator.
        answers: of the models, on all items of all tasks; those that are merged first.
        parents: how many are merged.
        count: anchors in each task.
        dimensions: of abilities.
        how: see `anchors.choose`.
        seed: of the start of the fit, and of the draw of anchors.

    Raises:
        BadParameter: no such estimator, or the answers are not usable.
    """
    if name not in NAMES:
        raise BadParameter("There is no such estimator.", got=name, want=", ".join(NAMES), fix=nearest(name, NAMES))
    tasks = list(answers[0])
    matrix = np.array([np.concatenate([np.asarray(each[task]) for task in tasks]) for each in answers])
    fitted = fit(matrix, dimensions=dimensions, seed=seed)
    ends = list(accumulate((len(answers[0][task]) for task in tasks), initial=0))
    items = {task: fitted.items.at(range(ends[k], ends[k + 1])) for k, task in enumerate(tasks)}
    anchors = {task: choose(items[task], count, how=how, seed=seed + k) for k, task in enumerate(tasks)}
    return Estimates(name, items, anchors, fitted.abilities[:parents])  # type: ignore[arg-type]


def plain(counts: Mapping[str, int], count: int, seed: int = 0) -> Estimates:
    """The mean of random items, for which nothing is fitted.

    Raises:
        BadParameter: there are fewer items.

    Example:
        >>> made = plain({"sign": 8}, 2)
        >>> made.of(Outcome({}, each={"sign": [1.0, 0.0]}))
        {'sign': 0.5}
    """
    items = {task: Items(np.zeros((1, number)), np.zeros(number)) for task, number in counts.items()}
    anchors = {task: choose(items[task], count, seed=seed + k) for k, task in enumerate(counts)}
    return Estimates("mean", items, anchors, np.zeros((0, 1)))


def _joined(parts: Sequence[Items]) -> Items:
    return Items(np.hstack([p.discrimination for p in parts]), np.concatenate([p.difficulty for p in parts]))
