"""Thresholds from sketches: the magnitude at a rank of one leaf, or of many together, without reading a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solera.checkpoints.sketch import LeafSketch

_UPPER = 1 << 15


@dataclass(eq=False)
class Ranking:
    """Counts of magnitudes of one model over some leaves; leaves are added, then ranks are asked for.

    Example:
        >>> ranking = Ranking()
        >>> ranking.add_equal(3)
        >>> ranking.add(np.array([1.0, 2.0], np.float32).view(np.uint32), np.array([2, 1]), zeros=0, shift=0)
        >>> [ranking.at(rank) for rank in (-1, 0, 3, 5, 6)], ranking.elements, ranking.nonzero
        ([0.0, 0.0, 1.0, 2.0, inf], 6, 3)
    """

    elements: int = 0
    nonzero: int = 0
    shift: int = 0
    upper: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_UPPER, np.int64))
    parts: list[tuple[NDArray[np.uint32], NDArray[np.int64]]] = field(default_factory=list)

    def add_leaf(self, leaf: LeafSketch) -> None:
        """Count a leaf in."""
        self.add(*leaf.magnitudes(), zeros=leaf.zeros, shift=leaf.shift)

    def add_equal(self, elements: int) -> None:
        """Count elements in that are the base's."""
        self.add(np.zeros(1, np.uint32), np.array([elements], np.int64), zeros=elements, shift=0)

    def add(self, bits: NDArray[np.uint32], counts: NDArray[np.int64], *, zeros: int, shift: int) -> None:
        """Count magnitudes in, given as ascending bits."""
        total = int(counts.sum())
        self.elements += total
        self.nonzero += total - zeros
        self.shift = max(self.shift, shift)
        found = np.bincount(bits >> np.uint32(16), weights=counts, minlength=_UPPER)
        self.upper += np.rint(found).astype(np.int64)
        self.parts.append((bits, counts))

    def at(self, rank: int) -> float:
        """The magnitude at a position in ascending order: exact, or the lower end of what is not told apart."""
        if rank < 0:
            return 0.0
        if rank >= self.elements:
            return math.inf
        running = self.upper.cumsum()
        bucket = int(np.searchsorted(running, rank, side="right"))
        rank -= int(running[bucket - 1]) if bucket else 0
        bits, counts = self._inside(bucket)
        order = np.argsort(bits, kind="stable")
        found = bits[order][int(np.searchsorted(counts[order].cumsum(), rank, side="right"))]
        return float(np.array(found, np.uint32).view(np.float32))

    def _inside(self, bucket: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        low, high = np.uint32(bucket << 16), np.uint32((bucket + 1) << 16)
        cuts = [(bits, counts, *np.searchsorted(bits, (low, high))) for bits, counts in self.parts]
        bits = np.concatenate([bits[a:b] for bits, _, a, b in cuts])
        return bits, np.concatenate([counts[a:b] for _, counts, a, b in cuts])


def resolution(shifts: Sequence[int]) -> str:
    """How near thresholds are.

    Example:
        >>> resolution([0, 0]), resolution([0, 13])
        ('exact', 'to one part in 1024')
    """
    worst = max(shifts, default=0)
    return "exact" if worst == 0 else f"to one part in {2 ** (23 - worst)}"
