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
