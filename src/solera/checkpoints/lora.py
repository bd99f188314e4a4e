"""A low-rank adapter applied to a tensor as it is read: W + scaling * B A, with DoRA's magnitudes where there are any.

Sources: LoRA (arXiv:2106.09685), rsLoRA (arXiv:2312.03732), DoRA (arXiv:2402.09353); parity with peft's merged weights.
Products are taken in float64 on fixed tiles of whole rows and rounded once, so any slice of the result has the same
bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from solera.checkpoints.contract import ByteReader, Source
from solera.checkpoints.kept import kept
from solera.errors import ShapeMismatch
from solera.types import CELL, DType, TensorSpec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class LoraApplied:
    """A base tensor with an adapter's product added, in float32.

    Attributes:
        base: shape (out, ...), or (in, out) when `transposed` (Conv1D weights, embeddings).
        a: (rank, in...). b: (out, rank...). scaling: multiplies the product.
        magnitude: DoRA's length of each output, which replaces the length that the sum has; one value per output.

    Cost: the factors are read once for a reader and kept; DoRA reads the base once more, for its lengths.

    Example:
        >>> import torch
        >>> from solera.checkpoints.ranges import MemorySource
        >>> base, a, b = torch.zeros(2, 3), torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0], [10.0]])
        >>> LoraApplied(*map(MemorySource, (base, a, b)), scaling=2.0).read(None, 2, 5)
        tensor([ 6., 20., 40.])
    """

    base: Source
    a: Source
    b: Source
    scaling: float
    transposed: bool = False
    magnitude: Source | None = None

    def __post_init__(self) -> None:
        """Check that the factors' product has the base's size."""
        rank, inputs = _matrix(self.a.spec.shape)
        outputs, width = _matrix(self.b.spec.shape)
        shape = self.base.spec.shape
        want = (inputs, outputs) if self.transposed else (outputs, inputs)
        lengths = outputs if self.magnitude is None else self.magnitude.spec.numel
        if len(shape) < 2 or _matrix(shape) != want or width != rank or lengths != outputs:
            got = f"A {self.a.spec.shape}, B {self.b.spec.shape}, transposed={self.transposed}"
            raise ShapeMismatch("The adapter does not fit the tensor.", got=got, want=f"factors of {shape}")

    @property
    def spec(self) -> TensorSpec:
        """float32, the base's shape."""
        return TensorSpec(DType.F32, self.base.spec.shape)

    @property
    def natural(self) -> DType:
        """As the base."""
        return self.base.natural

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """Elements of the sum."""
        import torch

        if stop <= start:
            return torch.empty(0, dtype=torch.float32)
        return self._sum(reader, start, stop, self._lengths(reader)).to(torch.float32)

    def cost_bytes(self, start: int, stop: int) -> int:
        """The base's slice (twice with DoRA), and its share of the factors."""
        passes = 1 if self.magnitude is None else 2
        factors = self.a.spec.nbytes + self.b.spec.nbytes
        return passes * self.base.cost_bytes(start, stop) + -(-factors * (stop - start) // max(1, self.spec.numel))

    def _sum(self, reader: ByteReader, start: int, stop: int, lengths: Tensor | None) -> Tensor:
        """Slice of the sum in float64."""
        import torch

        width = _matrix(self.spec.shape)[1]
        base = self.base.read(reader, start, stop).to(torch.float64)
        first, last = start // width, -(-stop // width)
        delta = self._product(reader, first, last)
        total = base + delta.reshape(-1)[start - first * width : stop - first * width]
        if lengths is None:
            return total
        rows = lengths.expand(last - first, width) if self.transposed else lengths[first:last, None].expand(-1, width)
        return total * rows.reshape(-1)[start - first * width : stop - first * width]

    def _product(self, reader: ByteReader, first: int, last: int) -> Tensor:
        """Rows [first, last) of the scaled product, made tile by tile."""
        import torch

        left, right = self._factor(reader, self.b), self._factor(reader, self.a)
        if self.transposed:
            left, right = right.T, left.T
        height, width = _matrix(self.spec.shape)
        tile = tile_rows(width)
        begins = range(first // tile * tile, last, tile)
        tiles = [left[begin : min(begin + tile, height)] @ right for begin in begins]
        product = torch.cat(tiles) if len(tiles) > 1 else tiles[0]
        return product[first - begins.start : last - begins.start] * self.scaling

    def _factor(self, reader: ByteReader, factor: Source) -> Tensor:
        import torch

        def make() -> Tensor:
            values = factor.read(reader, 0, factor.spec.numel)
            return values.to(torch.float64).reshape(_matrix(factor.spec.shape))

        return kept(reader, ("factor", factor), make)

    def _lengths(self, reader: ByteReader) -> Tensor | None:
        """DoRA: wanted length over present length, one for each output."""
        return None if self.magnitude is None else kept(reader, ("lengths", self), lambda: self._measure(reader))

    def _measure(self, reader: ByteReader) -> Tensor:
        import torch

        assert self.magnitude is not None
        wanted = self.magnitude.read(reader, 0, self.magnitude.spec.numel).to(torch.float64)
        height, width = _matrix(self.spec.shape)
        tile = tile_rows(width)
        squares = torch.zeros(width if self.transposed else height, dtype=torch.float64)
        for first in range(0, height, tile):
            last = min(first + tile, height)
            rows = self._sum(reader, first * width, last * width, None).reshape(-1, width).square()
            if self.transposed:
                squares += rows.sum(dim=0)
            else:
                squares[first:last] = rows.sum(dim=1)
        return wanted / squares.sqrt()


@dataclass(frozen=True, slots=True)
class LoraBias:
    """A bias with an adapter's bias added: base + scaling * bias of B, in float32.

    Example:
        >>> import torch
        >>> from solera.checkpoints.ranges import MemorySource
        >>> LoraBias(MemorySource(torch.ones(2)), MemorySource(torch.ones(2)), 0.5).read(None, 0, 2)
        tensor([1.5000, 1.5000])
    """

    base: Source
    bias: Source
    scaling: float

    def __post_init__(self) -> None:
        """Check that both have one size."""
        if self.base.spec.numel != self.bias.spec.numel:
            got = f"{self.bias.spec.shape} for {self.base.spec.shape}"
            raise ShapeMismatch("The adapter's bias does not fit.", got=got)

    @property
    def spec(self) -> TensorSpec:
        """float32, the base's shape."""
        return TensorSpec(DType.F32, self.base.spec.shape)

    @property
    def natural(self) -> DType:
        """As the base."""
        return self.base.natural

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """Elements of the sum."""
        import torch

        base, bias = (source.read(reader, start, stop).to(torch.float64) for source in (self.base, self.bias))
        return (base + bias * self.scaling).to(torch.float32)

    def cost_bytes(self, start: int, stop: int) -> int:
        """Both slices."""
        return self.base.cost_bytes(start, stop) + self.bias.cost_bytes(start, stop)


def tile_rows(width: int) -> int:
    """Rows in one canonical tile: about one reduction cell, never less than a row.

    Example:
        >>> tile_rows(4096), tile_rows(100_000)
        (16, 1)
    """
    return max(1, CELL // max(1, width))


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """First axis, and all others together."""
    return (shape[0], math.prod(shape[1:])) if shape else (0, 0)
