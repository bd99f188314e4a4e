"""Headers of safetensors files, read without trust: every length, offset and shape is checked before use."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from solera.checkpoints.contract import ByteReader, Limits
from solera.checkpoints.file_table import FileTable, laid_out, moved
from solera.checkpoints.header import Header
from solera.checkpoints.ranges import FileRange
from solera.checkpoints.reader import Stamp
from solera.checkpoints.strict_json import parse_object
from solera.errors import CheckpointError, CorruptFile, UnsafeFile
from solera.types import DType, TensorSpec

PREFIX = 8
_DTYPES = {dtype.value: dtype for dtype in DType}
_MAX_DIMENSIONS = 64
_MAX_BYTES = 2**63 - 1
# Codes of the format that no method here can compute with.
_FOREIGN = frozenset({"F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"})


def read_header(path: str, reader: ByteReader, limits: Limits | None = None) -> Header:
    """Read and check the header of one safetensors file; no tensor data is read.

    Cost: two reads; time linear in the number of tensors.

    Raises:
        CorruptFile: truncated, or the header does not describe the file. UnsafeFile: larger than `limits` allow.
    """
    limits = limits or Limits()
    stamp = Stamp.of(path)
    length = _header_length(path, reader, stamp.size, limits)
    text = reader.pread(path, PREFIX, length).tobytes()
    digest = hashlib.sha256(text).hexdigest()
    metadata, tensors = parsed_once(digest, text, path, stamp.size - PREFIX - length, limits)
    return Header(path, stamp, digest, tensors, metadata)


_RECENT: dict[tuple[str, int, Limits], tuple[dict[str, str], FileTable]] = {}
_KEPT = 512
"""Headers remembered: the shards of a large model."""


def parsed_once(
    digest: str, text: bytes, path: str, data_bytes: int, limits: Limits
) -> tuple[dict[str, str], FileTable]:
    """Parse a header, or take it from another file with the same one: fine-tunes of one model share theirs."""
    key = (digest, data_bytes, limits)
    known = _RECENT.get(key)
    if known is None:
        while len(_RECENT) >= _KEPT:
            _RECENT.pop(next(iter(_RECENT)), None)
        metadata, places = parse_header(text, path=path, data_bytes=data_bytes, limits=limits)
        known = _RECENT[key] = metadata, laid_out(places, [path])
    return known[0], moved(known[1], [path])


def _header_length(path: str, reader: ByteReader, size: int, limits: Limits) -> int:
    if size < PREFIX:
        raise CorruptFile("The file is too short to be a safetensors file.", where=path, got=f"{size} bytes")
    return checked_length(reader.pread(path, 0, PREFIX).tobytes(), path, size, limits)


def checked_length(first: bytes, path: str, size: int, limits: Limits) -> int:
    """Bytes of the header that the first eight of a file of `size` bytes announce.

    Raises:
        CorruptFile: the file is shorter than that. UnsafeFile: larger than `limits` allow.
    """
    if len(first) < PREFIX:
        raise CorruptFile("The file is too short to be a safetensors file.", where=path, got=f"{size} bytes")
    length = int.from_bytes(first, "little")
    if length > limits.header_bytes:
        raise UnsafeFile(
            "The safetensors header is too large.",
            where=path,
            got=f"{length} bytes",
            want=f"{limits.header_bytes} bytes at most",
        )
    if length > size - PREFIX:
        raise CorruptFile(
            "The safetensors header does not fit in the file.",
            where=path,
            got=f"{length} bytes of header, {size} of file",
            fix="download the file again",
        )
    return length


def parse_header(
    text: bytes, *, path: str, data_bytes: int, limits: Limits
) -> tuple[dict[str, str], dict[str, FileRange]]:
    """Check a header's JSON against the `data_bytes` that follow it: (metadata, sources by offset).

    Raises:
        CorruptFile: a value of the wrong type, an unknown type code, a shape that disagrees with its range, a hole,
            an overlap, bytes outside the file. UnsafeFile: too many tensors, nested too deeply.
    """
    rows = parse_object(text, where=path, what="The safetensors header")
    metadata = _metadata(rows.pop("__metadata__", {}), path)
    if len(rows) > limits.tensors:
        raise UnsafeFile("The file has too many tensors.", where=path, got=len(rows), want=f"{limits.tensors} at most")
    spans = sorted([(_span(name, row, path), name) for name, row in rows.items()])
    _check_cover([span for span, _ in spans], data_bytes, path)
    first = PREFIX + len(text)
    return metadata, {
        name: FileRange(path, first + span[0], _spec(name, rows[name], span, path)) for span, name in spans
    }


def _metadata(value: Any, path: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise CorruptFile("`__metadata__` is not a table of strings.", where=path)
    return value


def _span(name: str, row: Any, path: str) -> tuple[int, int]:
    span = row.get("data_offsets") if isinstance(row, dict) else None
    if not isinstance(span, list) or len(span) != 2 or not _are_sizes(span) or span[0] > span[1]:
        raise _lying(name, path, "data_offsets", span, "[begin, end] with 0 <= begin <= end")
    return span[0], span[1]


def _spec(name: str, row: Mapping[str, Any], span: tuple[int, int], path: str) -> TensorSpec:
    if row.keys() != _KEYS:
        raise _lying(name, path, "keys", sorted(row), "dtype, shape, data_offsets")
    dtype, shape = _dtype(name, row["dtype"], path), row["shape"]
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not _are_sizes(shape):
        raise _lying(name, path, "shape", shape, f"at most {_MAX_DIMENSIONS} sizes")
    if math.prod(shape) * dtype.itemsize != span[1] - span[0]:
        raise _lying(
            name, path, "shape", f"{shape} of {dtype} in {span[1] - span[0]} bytes", "shape x item size = bytes"
        )
    return _shared_spec(dtype, tuple(shape))


_KEYS = frozenset({"dtype", "shape", "data_offsets"})
_shared_spec = lru_cache(maxsize=4096)(TensorSpec)
"""One spec for the many tensors of a type and shape."""


def _dtype(name: str, code: Any, path: str) -> DType:
    found = _DTYPES.get(code) if isinstance(code, str) else None
    if found is not None:
        return found
    if isinstance(code, str) and code in _FOREIGN:
        raise CheckpointError(
            f"Tensors of type {code} cannot be merged.",
            where=f"{path}, tensor {name}",
            fix="use a copy of the model in bfloat16, float16, float32 or float8_e4m3fn",
        )
    raise _lying(name, path, "dtype", code, "a safetensors type code")


def _check_cover(spans: list[tuple[int, int]], data_bytes: int, path: str) -> None:
    if spans and spans[-1][1] > data_bytes:
        raise CorruptFile(
            "The file is cut short.",
            where=path,
            got=f"{data_bytes} bytes of data",
            want=f"{spans[-1][1]} bytes, as its header says",
            fix="download the file again, or make it again",
        )
    ends = [(0, 0), *spans, (data_bytes, data_bytes)]
    for before, after in pairwise(ends):
        if before[1] != after[0]:
            what = "leave a hole" if after[0] > before[1] else "overlap or reach past the end of the file"
            raise CorruptFile(
                f"The tensors of the file {what}.",
                where=path,
                got=f"one ends at {before[1]}, the next begins at {after[0]}",
                want=f"{data_bytes} bytes of data covered once",
                fix="download the file again",
            )


def _are_sizes(values: Iterable[Any]) -> bool:
    for value in values:  # noqa: SIM110 - asked twice for every tensor: a generator takes half as long again
        if type(value) is not int or not 0 <= value <= _MAX_BYTES:
            return False
    return True


def _lying(name: str, path: str, field_: str, got: Any, want: str) -> CorruptFile:
    where = f"{path}, tensor {name[:200]}"
    return CorruptFile(f"The header's `{field_}` is not usable.", where=where, got=str(got)[:200], want=want)
