"""Sources of the new embedding rows: gathered from several models, and mean rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from solera.checkpoints.contract import ByteReader, Source
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
