"""Sums that do not depend on vector width, thread count or slicing.

A sum over a tensor is taken in three storeys, all float64:

1. a *cell* (`CELL` elements, or one row) is padded with zeros to a power of two and halved: the second half is added
   to the first, again and again, until one number is left;
2. every cell leaves one partial, kept with its index in the tensor (`Partials`);
3. when all are there, the partials are put in order and halved in the same way.

Every addition therefore has the same two operands whatever slices the elements came in. Units start at a multiple of
`CELL`, except those of whole rows, which keep one partial per row instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from solera.ops.contract import Facts
from solera.types import CELL, ELEMENT, Grain


def tree_sum(terms: Tensor) -> Tensor:
    """Sum over the last axis in float64 by halving; an empty axis sums to 0.

    Example:
        >>> tree_sum(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
        tensor([ 6., 15.], dtype=torch.float64)
    """
    terms = _padded(terms.to(torch.float64))
    while terms.shape[-1] > 1:
        half = terms.shape[-1] // 2
        terms = terms[..., :half] + terms[..., half:]
    return terms[..., 0]


def cell_sums(terms: Tensor) -> Tensor:
    """Sums of the cells of the last axis: (..., elements) -> (..., cells), float64. The last cell may be short.

    Example:
        >>> cell_sums(torch.ones(65_536 + 3))
        tensor([6.5536e+04, 3.0000e+00], dtype=torch.float64)
    """
    whole = terms.shape[-1] // CELL * CELL
    full = tree_sum(terms[..., :whole].reshape(*terms.shape[:-1], whole // CELL, CELL))
    return full if whole == terms.shape[-1] else torch.cat([full, tree_sum(terms[..., whole:]).unsqueeze(-1)], -1)


def as_rows(values: Tensor, facts: Facts) -> Tensor:
    """View (models, *unit) as (models, rows, length), rows being whole vectors along the leaf's last axis.

    A vector is one row, a single number one row of one.

    Example:
        >>> as_rows(torch.zeros(2, 3, 4), Facts(shape=(9, 4))).shape
        torch.Size([2, 3, 4])
    """
    length = facts.shape[-1] if facts.shape else 1
    return values.reshape(values.shape[0], values[0].numel() // length if length else 0, length)


@dataclass(slots=True)
class Partials:
    """Partial sums of cells or rows, each block (width, cells) kept under (leaf, index of its first cell)."""

    blocks: list[tuple[str, int, Tensor]] = field(default_factory=list)

    def add(self, terms: Tensor, facts: Facts, by: Grain) -> None:
        """Fold in one unit's terms, (width, *unit)."""
        if terms[0].numel() == 0:
            return
        if by is ELEMENT:
            assert facts.start % CELL == 0, "units of elements start at a cell"
            self.blocks.append((facts.leaf, facts.start // CELL, cell_sums(terms.reshape(terms.shape[0], -1))))
        else:
            rows = as_rows(terms, facts)
            self.blocks.append((facts.leaf, facts.start // rows.shape[-1], tree_sum(rows)))

    def joined(self, width: int) -> tuple[float, ...]:
        """The `width` sums: leaves in order of name, cells in order of index."""
        ordered = sorted(self.blocks, key=lambda block: block[:2])
        leaves = [torch.cat(cells, -1) for cells in _by_leaf(ordered)]
        if not leaves:
            return (0.0,) * width
        sums = tree_sum(torch.stack([tree_sum(leaf) for leaf in leaves], -1))
        return tuple(float(value) for value in sums)


def _by_leaf(ordered: Iterable[tuple[str, int, Tensor]]) -> list[list[Tensor]]:
    grouped: dict[str, list[Tensor]] = {}
    for leaf, _, cells in ordered:
        grouped.setdefault(leaf, []).append(cells)
    return list(grouped.values())


def _padded(terms: Tensor) -> Tensor:
    length = terms.shape[-1]
    want = 1 << max(length - 1, 0).bit_length()
    return terms if want == length else torch.nn.functional.pad(terms, (0, want - length))
