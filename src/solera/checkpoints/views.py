"""Views that move elements without changing them: a part of a tensor, tensors joined, a constant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from solera.checkpoints.contract import ByteReader, Source
from solera.checkpoints.ranges import torch_dtype
from solera.errors import ShapeMismatch
from solera.types import DType, TensorSpec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Part:
    """A contiguous stretch of another source, with a shape of its own: one expert of a fused tensor.

    Example:
        >>> import torch
        >>> from solera.checkpoints.ranges import MemorySource
        >>> part = Part(MemorySource(torch.arange(8).reshape(2, 2, 2)), 4, (2, 2))
        >>> part.read(None, 1, 3)
        tensor([5, 6])
    """

    source: Source
    start: int
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that the part lies in its source."""
        if self.start < 0 or self.start + math.prod(self.shape) > self.source.spec.numel:
            got = f"{self.shape} from element {self.start} of {self.source.spec.shape}"
            raise ShapeMismatch("A part reaches outside its tensor.", got=got)

    @property
    def spec(self) -> TensorSpec:
        """The source's type, the part's shape."""
        return TensorSpec(self.source.spec.dtype, self.shape)

    @property
    def natural(self) -> DType:
        """As the source."""
        return self.source.natural

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """The source's elements, shifted."""
        return self.source.read(reader, self.start + start, self.start + stop)

    def cost_bytes(self, start: int, stop: int) -> int:
        """As the source."""
        return self.source.cost_bytes(self.start + start, self.start + stop)


@dataclass(frozen=True, slots=True)
class Concat:
    """Sources joined along the first axis, in order; all of one type and equal in the other axes.

    `shape` gives the joined tensor another shape of the same size (experts stacked on a new axis).

    Example:
        >>> import torch
        >>> from solera.checkpoints.ranges import MemorySource
        >>> joined = Concat((MemorySource(torch.zeros(1, 2)), MemorySource(torch.ones(2, 2))))
        >>> joined.spec.shape, joined.read(None, 1, 4)
        ((3, 2), tensor([0., 1., 1.]))
    """

    parts: tuple[Source, ...]
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        kinds = {(part.spec.dtype, part.spec.shape[1:]) for part in self.parts}
        numel = sum(part.spec.numel for part in self.parts)
        if len(kinds) != 1 or (self.shape is not None and math.prod(self.shape) != numel):
            got = ", ".join(f"{part.spec.dtype} {part.spec.shape}" for part in self.parts[:4])
            raise ShapeMismatch(
                "Tensors do not fit together.", got=got, want=f"one type, equal sizes {self.shape or ''}"
            )

    @property
    def spec(self) -> TensorSpec:
        """The parts' type; their shapes added along the first axis, or the given shape."""
        first = self.parts[0].spec
        joined = (
            (sum(part.spec.shape[0] for part in self.parts), *first.shape[1:]) if first.shape else (len(self.parts),)
        )
        return TensorSpec(first.dtype, self.shape if self.shape is not None else joined)

    @property
    def natural(self) -> DType:
        """As the first part."""
        return self.parts[0].natural

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """Elements of the parts that the slice touches."""
        import torch

        pieces = [part.read(reader, a, b) for part, a, b in self._touched(start, stop)]
        if len(pieces) == 1:
            return pieces[0]
        return torch.cat(pieces) if pieces else torch.empty(0, dtype=torch_dtype(self.spec.dtype))

    def cost_bytes(self, start: int, stop: int) -> int:
        """Sum over the parts touched."""
        return sum(part.cost_bytes(a, b) for part, a, b in self._touched(start, stop))

    def _touched(self, start: int, stop: int) -> list[tuple[Source, int, int]]:
        touched, begin = [], 0
        for part in self.parts:
            numel = part.spec.numel
            a, b = max(start - begin, 0), min(stop - begin, numel)
            if a < b:
                touched.append((part, a, b))
            begin += numel
        return touched


@dataclass(frozen=True, slots=True)
class Fill:
    """A tensor of one repeated value; nothing is read.

    Example:
        >>> Fill(TensorSpec(DType.F32, (2, 3))).read(None, 0, 2)
        tensor([0., 0.])
    """

    spec: TensorSpec
    value: float = 0.0

    @property
    def natural(self) -> DType:
        """The type asked for."""
        return self.spec.dtype

    def read(self, reader: ByteReader | None, start: int, stop: int) -> Tensor:  # noqa: ARG002
        """The value, repeated."""
        import torch

        return torch.full((stop - start,), self.value).to(torch_dtype(self.spec.dtype))

    def cost_bytes(self, start: int, stop: int) -> int:  # noqa: ARG002
        """Nothing."""
        return 0
