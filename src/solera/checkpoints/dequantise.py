"""fp8 weights widened to float32 on the fly: stored value x scale of its block, channel or tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from solera.checkpoints.contract import ByteReader, Source
from solera.errors import ShapeMismatch
from solera.types import DType, TensorSpec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Dequantise:
    """`weight` (..., out, in) times `scale`, one scale for each block of (rows, columns) elements of a matrix.

    The scale has shape (..., ceil(out / rows), ceil(in / columns)), or one element for the whole tensor. The result is
    float32; `natural` is the type that the model says it would have without quantisation.

    Example:
        >>> import torch
        >>> from solera.checkpoints.ranges import MemorySource
        >>> weight = MemorySource(torch.ones(2, 4).to(torch.float8_e4m3fn))
        >>> view = Dequantise(weight, MemorySource(torch.tensor([[2.0, 3.0]])), (2, 2))
        >>> view.read(None, 0, 4)
        tensor([2., 2., 3., 3.])
    """

    weight: Source
    scale: Source
    block: tuple[int, int]
    natural: DType = DType.BF16

    def __post_init__(self) -> None:
        """Check that there is one scale for every block."""
        shape, (rows, columns) = self.weight.spec.shape, self.block
        want = (*shape[:-2], -(-shape[-2] // rows), -(-shape[-1] // columns)) if len(shape) > 1 else None
        if self.scale.spec.numel != 1 and self.scale.spec.shape != want:
            raise ShapeMismatch("Scales do not fit the weight.", got=self.scale.spec.shape, want=f"{want} for {shape}")

    @property
    def spec(self) -> TensorSpec:
        """float32, the weight's shape."""
        return TensorSpec(DType.F32, self.weight.spec.shape)

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """Stored elements times their scales, in float32."""
        import torch

        values = self.weight.read(reader, start, stop).to(torch.float32)
        if self.scale.spec.numel == 1:
            return values * self.scale.read(reader, 0, 1).to(torch.float32)
        return values * self._scales(reader, start, stop) if len(values) else values

    def cost_bytes(self, start: int, stop: int) -> int:
        """The stored slice, and its share of the scales."""
        share = -(-self.scale.spec.nbytes * (stop - start) // max(1, self.spec.numel))
        return self.weight.cost_bytes(start, stop) + share

    def _scales(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """One scale for each element of the slice."""
        import torch

        out, width = self.weight.spec.shape[-2:]
        high, wide = self.scale.spec.shape[-2:]
        first, last = start // width, -(-stop // width)
        row = torch.arange(first, last)
        line = row // out * high + row % out // self.block[0]
        begin, end = int(line[0]), int(line[-1]) + 1
        scales = self.scale.read(reader, begin * wide, end * wide).to(torch.float32).reshape(-1, wide)
        spread = scales.repeat_interleave(self.block[1], dim=1)[:, :width][line - begin]
        return spread.reshape(-1)[start - first * width : stop - first * width]
