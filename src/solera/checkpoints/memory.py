"""Models held in memory: the same value as an opened folder, for tests and notebooks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from solera.checkpoints.contract import Checkpoint, Source
from solera.checkpoints.ranges import MemorySource
from solera.types import ModelRef

if TYPE_CHECKING:
    from torch import Tensor


def memory_checkpoint(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any] | None = None, *, name: str = "memory"
) -> Checkpoint:
    """A checkpoint over tensors in memory; it is identified by its bytes.

    Example:
        >>> import torch
        >>> memory_checkpoint({"w": torch.zeros(2)}).specs
        {'w': TensorSpec(dtype=<DType.F32: 'F32'>, shape=(2,))}
    """
    table: dict[str, Source] = {key: MemorySource(tensor) for key, tensor in tensors.items()}
    config = dict(config or {})
    return Checkpoint(ModelRef(name), table, config, weak_id=_digest(tensors, config))


def _digest(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
    import torch

    hasher = hashlib.sha256(repr(sorted(map(repr, config.items()))).encode())
    for key, tensor in tensors.items():
        hasher.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        hasher.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return hasher.hexdigest()[:32]
