"""Sources of the new embedding rows: gathered from several models, and mean rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from solera.checkpoints.contract import ByteReader, Source
from solera.checkpoints.gather import GatherRows
from solera.errors import PlanError
from solera.methods.vocab.values import Ints, VocabularyPlan
from solera.types import DType, TensorSpec

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True, slots=True)
class MeanRow:
    """The mean of the first `rows` rows of a tensor, as a tensor of one row; sums in float64, in file order.

    Cost: the first read takes the rows that are averaged, whatever the slice; the mean is kept.

    Example:
        >>> import torch
        >>> from solera.checkpoints.ranges import MemorySource
        >>> MeanRow(MemorySource(torch.tensor([[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]])), 2).read(None, 0, 2)
        tensor([2., 3.])
    """

    source: Source
    rows: int
    _kept: dict[int, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def spec(self) -> TensorSpec:
        """One row, in float32 or the source's own wider type."""
        return TensorSpec(_wide(self.source.spec.dtype), (1, *self.source.spec.shape[1:]))

    @property
    def natural(self) -> DType:
        """The source's own type."""
        return self.source.natural

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """Elements [start, stop) of the mean row."""
        if 0 not in self._kept:
            self._kept[0] = self._mean(reader)
        return self._kept[0][start:stop].clone()

    def _mean(self, reader: ByteReader) -> Tensor:
        import torch

        width = math.prod(self.source.spec.shape[1:])
        total = torch.zeros(width, dtype=torch.float64)
        step = max(1, _BLOCK_ELEMENTS // width)
        for first in range(0, self.rows, step):
            last = min(first + step, self.rows)
            block = self.source.read(reader, first * width, last * width).to(torch.float64)
            total += block.reshape(last - first, width).sum(dim=0)
        return (total / max(self.rows, 1)).to(getattr(torch, self.spec.dtype.torch_name))

    def cost_bytes(self, start: int, stop: int) -> int:
        """Bytes of the averaged rows."""
        return self.source.cost_bytes(0, self.rows * math.prod(self.source.spec.shape[1:])) if stop > start else 0


def _wide(dtype: DType) -> DType:
    return dtype if dtype is DType.F64 else DType.F32


def embedding_source(plan: VocabularyPlan, model: int, tables: Sequence[Source | None]) -> Source:
    """One model's embedding (or head, or head bias) with the rows of the output's vocabulary.

    Args:
        plan: from `row_plan`, made for these models in this order.
        model: whose tensor is wanted.
        tables: that tensor of every model, rows along axis 0; None where a model lacks it (its rows are then not
            asked for when `donors` left it out).

    Raises:
        PlanError: the plan needs rows of a model that lacks the tensor. ShapeMismatch: rows of different lengths.

    Example:
        >>> import torch
        >>> from solera.checkpoints.ranges import MemorySource
        >>> from solera.methods.vocab import Vocabulary, row_plan
        >>> models = [Vocabulary({"a": 0}, rows=1), Vocabulary({"b": 0, "a": 1}, rows=2)]
        >>> plan = row_plan(Vocabulary({"a": 0, "b": 1}, rows=2), models, base=0)
        >>> tables = [MemorySource(torch.tensor([[1.0]])), MemorySource(torch.tensor([[2.0], [3.0]]))]
        >>> [embedding_source(plan, m, tables).read(None, 0, 2).tolist() for m in (0, 1)]
        [[1.0, 2.0], [3.0, 2.0]]
    """
    rows = plan.maps[model]
    if rows.identity:
        return _present(tables, model)
    return _gathered(rows.which, rows.row, rows.offsets, model, [*tables, _mean(plan, model, tables)])


def _mean(plan: VocabularyPlan, model: int, tables: Sequence[Source | None]) -> Source | None:
    """The row that stands where nothing better is known, if this model's map asks for it."""
    rows = plan.maps[model]
    if not (rows.which == len(tables)).any():
        return None
    if plan.mean_of is not None:
        return MeanRow(_present(tables, plan.mean_of), plan.mean_rows)
    real = rows.which < len(tables)
    before = np.concatenate([[0], np.cumsum(real)])
    offsets = before[rows.offsets[: plan.mean_rows + 1]]
    stop = offsets[-1]
    return MeanRow(_gathered(rows.which[real][:stop], rows.row[real][:stop], offsets, model, tables), len(offsets) - 1)


def _gathered(which: Ints, row: Ints, offsets: Ints, model: int, tables: Sequence[Source | None]) -> Source:
    """Gather from the tables that are used; the model's own comes first, so that its type counts."""
    used = [model, *(i for i in np.unique(which).tolist() if i != model)]
    number = np.zeros(len(tables), np.int64)
    number[used] = np.arange(len(used))
    return GatherRows(tuple(_present(tables, i) for i in used), offsets, number[which], row)


def _present(tables: Sequence[Source | None], model: int) -> Source:
    table = tables[model]
    if table is None:
        raise PlanError("A row of an embedding is taken from a model that lacks the tensor.", got=f"model {model + 1}")
    return table
