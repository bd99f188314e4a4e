"""Sketches: what is known of a model's difference to its base without reading it again, block by block.

One safetensors file (or the same bytes in a catalog) with the table of leaves as JSON in its metadata. A leaf's block
holds the sum of squares, the largest magnitude, coarse counts of magnitudes and a digest of the model's bytes; the leaf
holds fine counts, exact where its differences take few values, from which whole-model thresholds are read.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.checkpoints.identity import hasher
from solera.checkpoints.strict_json import parse_object
from solera.errors import CorruptFile

FORM = 1
"""Version of the form."""
_KEY = "sketch"

Place = tuple[str, int, str, int, int]
"""Which elements: the model's tensor and first element in it, the base's, and how many."""


@dataclass(frozen=True, slots=True)
class SketchKey:
    """What a sketch is of: weak ids of model and base, the model's main type, and how it was read (adapters)."""

    model: str
    base: str
    dtype: str
    view: str = ""

    @property
    def name(self) -> str:
        """A short name for files.

        Example:
            >>> len(SketchKey("a", "b", "BF16").name)
            16
        """
        return hasher().update(f"{self.model}\n{self.base}\n{self.dtype}\n{self.view}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class LeafSketch:
    """One leaf's difference.

    Attributes:
        place: which elements of which tensors.
        squares: of the difference, by block (float64). largest: magnitude, by block. checks: 64 bits of the digest of
            the model's bytes, by block; 0 where the model is no plain file.
        base_squares: of the base, over the leaf. zeros: elements without a difference.
        shift: bits that the keys of the fine counts have lost; 0 is exact. fine: the fine counts, packed.
        starts, bins, counts: coarse counts of block b are (bins, counts)[starts[b] : starts[b + 1]].
    """

    leaf: str
    place: Place
    squares: NDArray[np.float64]
    largest: NDArray[np.float32]
    checks: NDArray[np.uint64]
    base_squares: float
    zeros: int
    shift: int
    fine: bytes
    starts: NDArray[np.int64]
    bins: NDArray[np.uint16]
    counts: NDArray[np.uint32]

    @property
    def numel(self) -> int:
        """Elements."""
        return self.place[4]

    def magnitudes(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Fine counts: bits of the magnitudes, low bits cleared where they are lost, ascending; how many of each."""
        keys, counts = unpack_counts(self.fine)
        return keys << np.uint32(self.shift), counts


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """A model's difference to its base.

    `model` and `base` are names for people. `block`: elements per block. `leaves` by canonical leaf name.
    """

    key: SketchKey
    model: str
    base: str
    block: int
    leaves: Mapping[str, LeafSketch] = field(repr=False)

    @property
    def squares(self) -> float:
        """Sum of squares of the whole difference."""
        return float(sum(leaf.squares.sum() for leaf in self.leaves.values()))

    @property
    def digest(self) -> str:
        """Of everything in it."""
        return hasher().update(pack(self)).hexdigest()

    def by_place(self) -> dict[Place, LeafSketch]:
        """The leaves by what they are read from."""
        return {leaf.place: leaf for leaf in self.leaves.values()}


def pack_counts(keys: NDArray[np.uint32], counts: NDArray[np.uint32]) -> bytes:
    """Ascending keys and their counts, small.

    Example:
        >>> [part.tolist() for part in unpack_counts(pack_counts(np.uint32([3, 9]), np.uint32([1, 70_000])))]
        [[3, 9], [1, 70000]]
    """
    steps = np.diff(keys, prepend=np.uint32(0)).astype("<u4")
    planes = np.concatenate([steps, counts.astype("<u4")]).view(np.uint8).reshape(-1, 4).T
    return zlib.compress(np.ascontiguousarray(planes).tobytes(), 1)


def unpack_counts(data: bytes) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The inverse of `pack_counts`."""
    planes = np.frombuffer(zlib.decompress(data), np.uint8).reshape(4, -1)
    both = np.ascontiguousarray(planes.T).view("<u4").reshape(-1)
    half = both.size // 2
    return both[:half].cumsum(dtype=np.uint32), both[half:].astype(np.int64)


def coarse_rows(coarse: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.uint32]]:
    """Coarse counts (blocks, buckets) without the empty buckets: starts, bins, counts."""
    rows, bins = coarse.nonzero()
    starts = np.searchsorted(rows, np.arange(coarse.shape[0] + 1)).astype(np.int64)
    return starts, bins.astype(np.uint16), coarse[rows, bins]


_PER_BLOCK = ("squares", "largest", "checks")
_TYPES = {"squares": "<f8", "largest": "<f4", "checks": "<u8", "starts": "<i8", "bins": "<u2", "counts": "<u4"}


def pack(sketch: Sketch) -> bytes:
    """The sketch as the bytes of a safetensors file; equal sketches give equal bytes."""
    from safetensors.numpy import save

    leaves = list(sketch.leaves.values())
    arrays = {name: _joined([getattr(leaf, name) for leaf in leaves], _TYPES[name]) for name in _TYPES}
    arrays["fine"] = np.frombuffer(b"".join(leaf.fine for leaf in leaves), np.uint8)
    rows = [[x.leaf, list(x.place), x.squares.size, x.bins.size, len(x.fine), x.base_squares, x.zeros, x.shift]
            for x in leaves]  # fmt: skip
    head = {"form": FORM, "key": asdict(sketch.key), "model": sketch.model, "base": sketch.base, "block": sketch.block}
    return bytes(save(arrays, {_KEY: json.dumps({**head, "leaves": rows}, sort_keys=True)}))


def _joined(parts: Sequence[NDArray[Any]], dtype: str) -> NDArray[Any]:
    return np.concatenate([*parts, np.empty(0, dtype)]).astype(dtype)


def unpack(data: bytes, *, where: str = "a sketch") -> Sketch:
    """The inverse of `pack`.

    Raises:
        CorruptFile: these bytes are no sketch, or one of a later form.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        head = _head(data, where)
        leaves = {leaf.leaf: leaf for leaf in _leaves(head["leaves"], arrays)}
        return Sketch(SketchKey(**head["key"]), head["model"], head["base"], int(head["block"]), leaves)
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError, struct.error, zlib.error) as error:
        raise _no_sketch(where, str(error)[:200]) from None


def _head(data: bytes, where: str) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", data[:8])
    head = json.loads(parse_object(data[8 : 8 + length], where=where, what="The header")["__metadata__"][_KEY])
    if head["form"] != FORM:
        raise _no_sketch(where, f"form {head['form']}")
    return dict(head)


def read_key(data: bytes, *, where: str) -> tuple[SketchKey, str, str]:
    """Key, model and base of packed bytes (their beginning is enough), without the rest."""
    try:
        head = _head(data, where)
        return SketchKey(**head["key"]), str(head["model"]), str(head["base"])
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise _no_sketch(where, str(error)[:200]) from None


def _leaves(rows: Sequence[Sequence[Any]], arrays: Mapping[str, NDArray[Any]]) -> list[LeafSketch]:
    made: list[LeafSketch] = []
    block = coarse = fine = start = 0
    for leaf, place, blocks, bins, packed, base_squares, zeros, shift in rows:
        squares, largest, checks = (arrays[name][block : block + blocks] for name in _PER_BLOCK)
        starts = arrays["starts"][start : start + blocks + 1]
        buckets, counts = (arrays[name][coarse : coarse + bins] for name in ("bins", "counts"))
        data = arrays["fine"][fine : fine + packed].tobytes()
        spot: Place = (str(place[0]), int(place[1]), str(place[2]), int(place[3]), int(place[4]))
        made.append(
            LeafSketch(
                leaf, spot, squares, largest, checks, float(base_squares), int(zeros), int(shift), data, starts,
                buckets, counts,
            )
        )  # fmt: skip
        block, start, coarse, fine = block + blocks, start + blocks + 1, coarse + bins, fine + packed
        if squares.size != blocks or starts.size != blocks + 1 or len(data) != packed or buckets.size != bins:
            raise ValueError(f"too few numbers for {leaf}")
    return made


def _no_sketch(where: str, got: str) -> CorruptFile:
    return CorruptFile("This is no sketch that can be used.", where=where, got=got, want=f"a sketch of form {FORM}",
                       fix="make it anew with `solera analyze`")  # fmt: skip
