"""Sums in float64 by halving, over cells of 64 Ki elements: the tree of `ops.reduce`, on numpy arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from solera.types import CELL

Sums = NDArray[np.float64]


def tree_sum(terms: Sums) -> Sums:
    """Sum over the last axis by halving, padded with zeros to a power of two.

    Example:
        >>> tree_sum(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
        array([ 6., 15.])
    """
    length = terms.shape[-1]
    want = 1 << max(length - 1, 0).bit_length()
    if want != length:
        terms = np.concatenate([terms, np.zeros((*terms.shape[:-1], want - length))], -1)
    while terms.shape[-1] > 1:
        half = terms.shape[-1] // 2
        terms = terms[..., :half] + terms[..., half:]
    return terms[..., 0]


def cell_sums(terms: Sums, row: int = 0) -> Sums:
    """Sums of the cells of the last axis; the last cell may be short. With `row`, sums of rows of that length."""
    if row:
        return tree_sum(terms.reshape(*terms.shape[:-1], -1, row))
    whole = terms.shape[-1] // CELL * CELL
    full = tree_sum(terms[..., :whole].reshape(*terms.shape[:-1], whole // CELL, CELL))
    return full if whole == terms.shape[-1] else np.concatenate([full, tree_sum(terms[..., whole:])[..., None]], -1)


@dataclass(slots=True)
class Partials:
    """Partial sums of cells, each block (width, cells) kept under (leaf, index of its first cell)."""

    blocks: list[tuple[str, int, Sums]] = field(default_factory=list)

    def joined(self, width: int) -> tuple[float, ...]:
        """The `width` sums: leaves in order of name, cells in order of index."""
        if not self.blocks:
            return (0.0,) * width
        ordered = sorted(self.blocks, key=lambda block: block[:2])
        leaves = [tree_sum(np.concatenate(cells, -1)) for cells in _by_leaf(ordered)]
        return tuple(float(value) for value in tree_sum(np.stack(leaves, -1)))


def _by_leaf(ordered: Iterable[tuple[str, int, Sums]]) -> list[list[Sums]]:
    return [[block[2] for block in blocks] for _, blocks in groupby(ordered, key=lambda block: block[0])]
