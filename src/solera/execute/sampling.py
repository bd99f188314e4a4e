"""A part of a tensor that stands for all of it: short runs from everywhere, to guess where its thresholds lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RUN = 256
"""Elements in a run; rows differ, so that many short runs tell more than a few long ones."""

LEAST, MOST, SHARE = 1 << 15, 1 << 18, 32
"""Elements of a sample: one in 32, within these bounds. Misjudging costs a pass, sampling the time of the sample."""


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
