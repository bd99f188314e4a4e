"""Where every byte of the output goes: shards, headers and offsets, known before a tensor is computed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from solera.types import DType, TensorSpec

DEFAULT_METADATA: Mapping[str, str] = MappingProxyType({"format": "pt"})
# The reference library writes wider types first, so that every tensor is aligned to its element size.
_TYPE_ORDER = {
    dtype: rank
    for rank, dtype in enumerate(
        [
            *(DType.U64, DType.I64, DType.F64, DType.F32, DType.U32, DType.I32, DType.BF16, DType.F16, DType.U16),
            *(DType.I16, DType.F8_E4M3, DType.F8_E5M2, DType.I8, DType.U8, DType.BOOL),
        ]
    )
}


@dataclass(frozen=True, slots=True)
class ShardLayout:
    """One output file, laid out.

    Attributes:
        file: its name. header: its first bytes, length prefix and padding included. specs: its tensors in file order.
        offsets: tensor name -> first byte in the file. size: bytes of the whole file.
    """

    file: str
    header: bytes
    specs: Mapping[str, TensorSpec]
    offsets: Mapping[str, int]
    size: int


@dataclass(slots=True)
class _Shards:
    """Shards filled in order; `open` is the one that still has room."""

    limit: int
    done: list[dict[str, TensorSpec]] = field(default_factory=list)
    open: dict[str, TensorSpec] = field(default_factory=dict)
    filled: int = 0

    def add(self, name: str, spec: TensorSpec) -> None:
        """Put a tensor into the open shard, or into one of its own if it is larger than a shard."""
        if spec.nbytes > self.limit:
            self.done.append({name: spec})
            return
        if self.filled + spec.nbytes > self.limit:
            self.close()
        self.open[name] = spec
        self.filled += spec.nbytes

    def close(self) -> None:
        """Finish the open shard."""
        self.done.append(self.open)
        self.open, self.filled = {}, 0


def layout(
    specs: Mapping[str, TensorSpec],
    shard_bytes: int,
    metadata: Mapping[str, str] = DEFAULT_METADATA,
    *,
    stem: str = "model",
) -> tuple[ShardLayout, ...]:
    """Lay tensors out in files of at most `shard_bytes` of data each.

    The files are, byte for byte, those that the reference library writes for the same shards and
    ``{"format": "pt"}``; further metadata keys follow in sorted order. Tensors are dealt to shards greedily in the
    given order (as huggingface_hub does); a tensor larger than a shard gets a file of its own.

    Cost: linear in the number of tensors; no tensor data.

    Example:
        >>> shards = layout({"a": TensorSpec(DType.F32, (4,)), "b": TensorSpec(DType.F32, (2,))}, shard_bytes=16)
        >>> [(shard.file, *shard.specs) for shard in shards]
        [('model-00001-of-00002.safetensors', 'a'), ('model-00002-of-00002.safetensors', 'b')]
    """
    shards = _Shards(shard_bytes)
    for name, spec in specs.items():
        shards.add(name, spec)
    if shards.open or not shards.done:
        shards.close()
    names = _file_names(stem, len(shards.done))
    return tuple(shard_layout(name, part, metadata) for name, part in zip(names, shards.done, strict=True))


def shard_layout(
    file: str, specs: Mapping[str, TensorSpec], metadata: Mapping[str, str] = DEFAULT_METADATA
) -> ShardLayout:
    """Lay one file out: its header, and where each tensor's data begins.

    Example:
        >>> shard = shard_layout("model.safetensors", {"w": TensorSpec(DType.F32, (2,))})
        >>> shard.offsets["w"] == len(shard.header), shard.size - len(shard.header)
        (True, 8)
    """
    ordered = dict(sorted(specs.items(), key=lambda item: (_TYPE_ORDER[item[1].dtype], item[0].encode())))
    relative, end = _offsets(ordered)
    header = _header(ordered, relative, metadata)
    offsets = {name: len(header) + begin for name, begin in relative.items()}
    return ShardLayout(file, header, ordered, offsets, len(header) + end)


def index_json(layouts: Sequence[ShardLayout]) -> bytes:
    """The bytes of ``model.safetensors.index.json`` for these shards, as huggingface_hub writes them.

    Example:
        >>> json.loads(index_json(layout({"w": TensorSpec(DType.F32, (2,))}, 100)))
        {'metadata': {'total_size': 8}, 'weight_map': {'w': 'model.safetensors'}}
    """
    weight_map = {name: shard.file for shard in layouts for name in shard.specs}
    total = sum(spec.nbytes for shard in layouts for spec in shard.specs.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    return (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()


def _file_names(stem: str, count: int) -> Iterable[str]:
    if count == 1:
        return [f"{stem}.safetensors"]
    return (f"{stem}-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1))


def _offsets(specs: Mapping[str, TensorSpec]) -> tuple[dict[str, int], int]:
    offsets, end = {}, 0
    for name, spec in specs.items():
        offsets[name] = end
        end += spec.nbytes
    return offsets, end


def _header(specs: Mapping[str, TensorSpec], begins: Mapping[str, int], metadata: Mapping[str, str]) -> bytes:
    rows: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    for name, spec in specs.items():
        span = [begins[name], begins[name] + spec.nbytes]
        rows[name] = {"dtype": spec.dtype.value, "shape": list(spec.shape), "data_offsets": span}
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
