"""The plainest sources: a range of a file's bytes, and a tensor held in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from solera.types import DType, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from solera.checkpoints.contract import ByteReader


def torch_dtype(dtype: DType) -> Any:
    """The torch type of `dtype`."""
    import torch

    return getattr(torch, dtype.torch_name)


def as_tensor(data: np.ndarray[Any, np.dtype[np.uint8]], dtype: DType) -> Tensor:
    """View bytes as a one-dimensional tensor of `dtype`, without a copy."""
    import torch

    wanted = torch_dtype(dtype)
    return torch.from_numpy(data).view(wanted) if data.size else torch.empty(0, dtype=wanted)


@dataclass(frozen=True, slots=True)
class FileRange:
    """A tensor that lies row-major and without gaps in a file, from byte `offset`.

    Example:
        >>> FileRange("model.safetensors", 104, TensorSpec(DType.BF16, (2, 3))).cost_bytes(0, 6)
        12
    """

    path: str
    offset: int
    spec: TensorSpec

    @property
    def natural(self) -> DType:
        """The stored type."""
        return self.spec.dtype

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """Elements [start, stop), straight from the file."""
        size = self.spec.dtype.itemsize
        return as_tensor(reader.pread(self.path, self.offset + start * size, (stop - start) * size), self.spec.dtype)

    def cost_bytes(self, start: int, stop: int) -> int:
        """Bytes of the slice."""
        return (stop - start) * self.spec.dtype.itemsize


@dataclass(frozen=True, slots=True)
class StridedRange:
    """A tensor that lies in a file with strides (in elements): transposed before it was saved, or a slice of another.

    A read takes the whole stretch between the first and the last element of the rows that it touches.
    """

    path: str
    offset: int
    spec: TensorSpec
    strides: tuple[int, ...]

    @property
    def natural(self) -> DType:
        """The stored type."""
        return self.spec.dtype

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """Elements [start, stop) in row-major order."""
        import torch

        if stop <= start:
            return torch.empty(0, dtype=torch_dtype(self.spec.dtype))
        first, last, row = self._rows(start, stop)
        rows, size = (last - first, *self.spec.shape[1:]), self.spec.dtype.itemsize
        begin = self.offset + first * self.strides[0] * size
        flat = as_tensor(reader.pread(self.path, begin, extent(rows, self.strides) * size), self.spec.dtype)
        return torch.as_strided(flat, rows, self.strides).reshape(-1)[start - first * row : stop - first * row].clone()

    def cost_bytes(self, start: int, stop: int) -> int:
        """Bytes of the stretch that holds the rows touched."""
        if stop <= start:
            return 0
        first, last, _ = self._rows(start, stop)
        return extent((last - first, *self.spec.shape[1:]), self.strides) * self.spec.dtype.itemsize

    def _rows(self, start: int, stop: int) -> tuple[int, int, int]:
        row = self.spec.numel // self.spec.shape[0]
        return start // row, -(-stop // row), row


def extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Elements from the first to the last one of a strided tensor.

    Example:
        >>> extent((2, 3), (1, 2)), extent((0, 3), (3, 1)), extent((), ())
        (6, 0, 1)
    """
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class MemorySource:
    """A tensor held in memory: for tests and notebooks.

    Example:
        >>> import torch
        >>> MemorySource(torch.arange(6).reshape(2, 3)).read(None, 2, 4)
        tensor([2, 3])
    """

    tensor: Tensor

    @property
    def spec(self) -> TensorSpec:
        """Type and shape of the tensor."""
        return TensorSpec(DType.parse(str(self.tensor.dtype)), tuple(self.tensor.shape))

    @property
    def natural(self) -> DType:
        """The tensor's own type."""
        return self.spec.dtype

    def read(self, reader: ByteReader | None, start: int, stop: int) -> Tensor:  # noqa: ARG002
        """A copy of elements [start, stop)."""
        return self.tensor.detach().reshape(-1)[start:stop].clone()

    def cost_bytes(self, start: int, stop: int) -> int:  # noqa: ARG002
        """Nothing is read from files."""
        return 0
