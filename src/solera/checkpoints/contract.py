"""The contract of checkpoints: a model is a lazy table of tensors.

A `Source` is a plain-data description (picklable) of where one tensor's elements come from: a byte range of a file,
a dequantised pair, an adapter applied to a tensor, gathered rows. Nothing is read until `read` is called, and `read`
gives the same bits for an element whatever slice it is asked in: sources that compute do so on fixed tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from solera.types import DType, ModelRef, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class ByteReader(Protocol):
    """Reads byte ranges of files, counts them, and notices files that change under it."""

    @property
    def bytes_read(self) -> int:
        """Bytes read so far, by all threads."""
        ...

    def pread(
        self, path: str, offset: int, nbytes: int, out: np.ndarray[Any, np.dtype[np.uint8]] | None = None
    ) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return exactly `nbytes` bytes as a writable uint8 array: `out`, filled, where it is used, else a fresh one.

        Raises:
            CorruptFile: the file ends early. SourceChanged: size or mtime differ from the first look.
        """
        ...


class Source(Protocol):
    """Where one tensor's elements come from."""

    @property
    def spec(self) -> TensorSpec:
        """What `read` gives: element type and shape."""
        ...

    @property
    def natural(self) -> DType:
        """The type in which the tensor would be written when nothing else is asked (bf16 for a dequantised fp8)."""
        ...

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """Elements [start, stop) of the flattened tensor, as a one-dimensional tensor of `spec.dtype`."""
        ...

    def cost_bytes(self, start: int, stop: int) -> int:
        """Bytes that `read` of this slice takes from files."""
        ...


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened model: headers and side files only.

    Attributes:
        ref: how it was asked for. folder: where its side files are (a local snapshot for Hub models; None in memory).
        table: file tensor name -> source, in file order (shards in index order, tensors by offset).
        config: config.json as read, {} if none. side_files: names of all other files beside the weights.
        consumed: tensors that exist in the files but are not in `table`, with the reason (fp8 scales, adapter factors).
        config_patch: what the views change in config.json (None value: remove the key), e.g. quantization_config.
        weak_id: from header hashes, sizes and mtimes; plans are made with it.
        metadata: the safetensors __metadata__ of the first file.
        notes: warnings met on opening (adapter made for another base, unknown files).
    """

    ref: ModelRef
    table: Mapping[str, Source] = field(repr=False)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    folder: Path | None = None
    side_files: tuple[str, ...] = ()
    consumed: Mapping[str, str] = field(default_factory=dict)
    config_patch: Mapping[str, Any] = field(default_factory=dict)
    weak_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Name -> spec of every tensor in the table."""
        known: Mapping[str, TensorSpec] | None = getattr(self.table, "specs", None)
        return {name: source.spec for name, source in self.table.items()} if known is None else known

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors as stored."""
        known: int | None = getattr(self.table, "nbytes", None)
        return sum(s.cost_bytes(0, s.spec.numel) for s in self.table.values()) if known is None else known


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is read from untrusted files."""

    header_bytes: int = 100_000_000
    json_bytes: int = 64_000_000
    pickle_bytes: int = 64_000_000
    tensors: int = 2_000_000
