"""Strong identity: a Merkle digest for each tensor over fixed chunks, and one for a whole model.

The digest depends on type, shape and bytes alone: not on the file, its shards, or the order in which chunks are hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from solera.checkpoints.contract import ByteReader, Checkpoint, Source
from solera.checkpoints.reader import FileReader
from solera.checkpoints.writer import tensor_bytes
from solera.types import TensorSpec

CHUNK_BYTES = 1 << 20
"""Bytes in one leaf of the tree; the last chunk of a tensor may be shorter."""


@dataclass(frozen=True, slots=True)
class ModelDigest:
    """Digest of a whole model (`root`), and of each of its tensors."""

    root: str
    tensors: Mapping[str, str]


def hasher() -> blake3:
    """A new BLAKE3 hasher: the one digest that tensors, chunks and outputs are known by.

    Example:
        >>> hasher().update(b"abc").hexdigest()[:8]
        '6437b3ac'
    """
    return blake3()


def digest_file(path: Path) -> str:
    """BLAKE3 of a file's bytes. Cost: one pass, 1 MiB of memory.

    Example:
        >>> len(digest_file(Path(__file__)))
        64
    """
    digest = hasher()
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def chunk_digest(data: Any) -> bytes:
    """Digest of one chunk (any contiguous buffer of at most `CHUNK_BYTES`).

    Example:
        >>> len(chunk_digest(b"abc"))
        32
    """
    return hasher().update(data).digest()


def join_chunks(spec: TensorSpec, chunks: Sequence[bytes]) -> str:
    """Digest of a tensor from the digests of its chunks, in order.

    Example:
        >>> from solera.types import DType
        >>> len(join_chunks(TensorSpec(DType.U8, (3,)), [chunk_digest(b"abc")]))
        64
    """
    head = f"{spec.dtype.value} {list(spec.shape)}\n".encode()
    return hasher().update(head + b"".join(chunks)).hexdigest()


def join_tensors(tensors: Mapping[str, str]) -> str:
    """Digest of a model from the digests of its tensors; their order does not matter.

    Example:
        >>> join_tensors({"a": "1", "b": "2"}) == join_tensors({"b": "2", "a": "1"})
        True
    """
    digest = hasher()
    for name in sorted(tensors):
        digest.update(f"{len(name.encode())} {name} {tensors[name]}\n".encode())
    return digest.hexdigest()


def tensor_digest(source: Source, reader: ByteReader) -> str:
    """Digest of one tensor, read chunk by chunk.

    Cost: one pass; one chunk of memory.

    Example:
        >>> import torch
        >>> from solera.checkpoints.ranges import MemorySource
        >>> tensor_digest(MemorySource(torch.zeros(4)), None) == tensor_digest(MemorySource(torch.zeros(4)), None)
        True
    """
    spec = source.spec
    step = CHUNK_BYTES // spec.dtype.itemsize
    slices = ((start, min(start + step, spec.numel)) for start in range(0, spec.numel, step))
    return join_chunks(spec, [chunk_digest(tensor_bytes(source.read(reader, *piece))) for piece in slices])


def digest_checkpoint(
    model: Checkpoint, *, reader: ByteReader | None = None, on_tensor: Callable[[str], None] | None = None
) -> ModelDigest:
    """Digest of every tensor of a model, and of all together.

    Args:
        model: any checkpoint; views (adapters, fp8) are digested as what they give.
        reader: None opens one for the call.
        on_tensor: called with each name when its digest is done.

    Cost: one pass over the model.

    Example:
        >>> import torch
        >>> from solera.checkpoints import memory_checkpoint
        >>> sorted(digest_checkpoint(memory_checkpoint({"w": torch.zeros(2)})).tensors)
        ['w']
    """
    if reader is None:
        with FileReader() as own:
            return digest_checkpoint(model, reader=own, on_tensor=on_tensor)
    tensors: dict[str, str] = {}
    for name, source in model.table.items():
        tensors[name] = tensor_digest(source, reader)
        if on_tensor is not None:
            on_tensor(name)
    return ModelDigest(join_tensors(tensors), tensors)
