"""A part of a tensor that stands for all of it: short runs from everywhere, to guess where its thresholds lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RUN = 256
"""Elements in a run; rows differ, so that many short runs tell more than a few long ones."""

LEAST, MOST, SHARE = 1 << 15, 1 << 18, 32
"""Elements of a sample: one in 32, within these bounds. Misjudging costs a pass, sampling the time of the sample."""

WHOLE, SPARSE = 1 << 20, 256
"""Elements of a sample of many tensors: one in 256, between `MOST` and this."""


def runs(numel: int) -> NDArray[np.int64]:
    """First elements of the runs of a sample: one at a place of its own in each of equal stretches.

    Example:
        >>> starts = runs(1 << 20)
        >>> len(starts) * RUN, bool((np.diff(starts) >= 0).all()), int(starts[-1]) + RUN <= 1 << 20
        (32768, True, True)
    """
    count = max(1, min(max(LEAST, min(MOST, numel // SHARE)), numel) // RUN)
    stretch = numel // count
    inside = (np.arange(count) * 0.6180339887498949) % 1.0 * max(stretch - RUN, 0)
    return np.arange(count, dtype=np.int64) * stretch + inside.astype(np.int64)


def places(sizes: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Runs at equal distances over tensors that lie end to end: which tensor, and where its runs begin.

    Large tensors have more of them; one of fewer elements than a run is taken whole, where a run falls on it.

    Example:
        >>> [(k, len(starts)) for k, starts in places(np.array([1 << 22, 100, 3 << 22]))]
        [(0, 256), (2, 768)]
    """
    ends = sizes.cumsum()
    total = int(ends[-1])
    count = max(1, min(max(MOST, min(WHOLE, total // SPARSE)), total) // RUN)
    at = ((np.arange(count) + 0.5) * (total / count)).astype(np.int64)
    owners = np.searchsorted(ends, at, side="right")
    for k in np.unique(owners):
        inside = at[owners == k] - (ends[k] - sizes[k])
        yield int(k), np.clip(inside, 0, max(int(sizes[k]) - RUN, 0))
