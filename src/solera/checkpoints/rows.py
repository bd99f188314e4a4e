"""A tensor with some of its rows replaced: trained token embeddings of an adapter."""

from __future__ import annotations

from collections.abc import Sequence

from solera.checkpoints.contract import Source
from solera.checkpoints.gather import GatherRows
from solera.errors import ShapeMismatch


def with_rows(base: Source, rows: Source, ids: Sequence[int], *, where: str = "") -> GatherRows:
    """`base`, with row ids[i] taken from row i of `rows`.

    Raises:
        ShapeMismatch: another number of rows than ids, or an id outside the base.

    Example:
        >>> import torch
        >>> from solera.checkpoints.ranges import MemorySource
        >>> with_rows(MemorySource(torch.zeros(3, 1)), MemorySource(torch.ones(1, 1)), [1]).read(None, 0, 3)
        tensor([0., 1., 0.])
    """
    import numpy as np

    height = base.spec.shape[0] if base.spec.shape else 0
    if not rows.spec.shape or len(ids) != rows.spec.shape[0] or any(not 0 <= i < height for i in ids):
        got = f"{len(ids)} ids for rows {rows.spec.shape}"
        raise ShapeMismatch("Trained token rows do not fit.", where=where, got=got, want=f"ids below {height}")
    which, row = np.zeros(height, dtype=np.int64), np.arange(height, dtype=np.int64)
    which[list(ids)], row[list(ids)] = 1, np.arange(len(ids))
    return GatherRows((base, rows), np.arange(height + 1, dtype=np.int64), which, row)
