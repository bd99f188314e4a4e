"""Compares a random method with stored moments: mean and variance of every element over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SEEDS = 200


@dataclass(slots=True)
class Moments:
    """Running sums over merges; `mean` and `variance` per tensor."""

    count: int = 0
    total: dict[str, Array] = field(default_factory=dict)
    square: dict[str, Array] = field(default_factory=dict)
    shift: dict[str, Array] = field(default_factory=dict)  # first sample, against cancellation

    def add(self, tensors: Mapping[str, Array]) -> None:
        """Take one merge into account."""
        for key, value in tensors.items():
            first = self.shift.setdefault(key, value)
            self.total[key] = self.total.get(key, np.zeros_like(value)) + (value - first)
            self.square[key] = self.square.get(key, np.zeros_like(value)) + (value - first) ** 2
        self.count += 1

    def mean(self, key: str) -> Array:
        """Return the mean of every element of a tensor."""
        return self.shift[key] + self.total[key] / self.count

    def variance(self, key: str) -> Array:
        """Return the unbiased variance of every element of a tensor."""
        return (self.square[key] - self.total[key] ** 2 / self.count) / (self.count - 1)


def collect(runs: Iterable[Mapping[str, Array]]) -> Moments:
    """Return the moments of many merges."""
    out = Moments()
    for tensors in runs:
        out.add(tensors)
    return out


def disagreements(ours: Moments, stored: Mapping[str, Array], seeds: int = SEEDS) -> list[str]:
    """Return what is statistically impossible if both sides draw from one distribution.

    z = difference of means over its standard error: |z| stays below 6 and the mean of z**2 near 1;
    the variance summed over a tensor (vectors taken together) agrees within 15 %, over the model within 4 %.
    """
    faults, squares = [], []
    mine: dict[str, float] = {}
    theirs: dict[str, float] = {}
    for key in ours.shift:
        own, variance = ours.variance(key), stored["variance/" + key]
        error = np.sqrt(own / ours.count + variance / seeds)
        z = (ours.mean(key) - stored["mean/" + key]) / np.maximum(error, 1e-7)
        squares.append(z.ravel() ** 2)
        if not np.abs(z).max() < 6:
            faults.append(f"{key}: a mean is {np.abs(z).max():.1f} standard errors away")
        for group in ("vectors" if own.ndim == 1 else key, "model"):
            mine[group] = mine.get(group, 0.0) + float(own.sum())
            theirs[group] = theirs.get(group, 0.0) + float(variance.sum())
    for group, total in theirs.items():
        ratio, allowed = mine[group] / total, 0.04 if group == "model" else 0.15
        if not abs(ratio - 1) < allowed:
            faults.append(f"{group}: variance is {ratio:.3f} of the stored one")
    spread = float(np.concatenate(squares).mean())
    if not 0.85 < spread < 1.15:
        faults.append(f"mean of z**2 is {spread:.3f}")
    return faults
