"""The pass of an analysis: every leaf of some models beside the base's, chunk by chunk, by workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.checkpoints.contract import ByteReader, Checkpoint
from solera.checkpoints.identity import chunk_digest
from solera.checkpoints.ranges import FileRange
from solera.checkpoints.sketch import LeafSketch, coarse_rows, pack_counts
from solera.execute.faults import not_finite
from solera.ops.kernels.formats import FORMATS
from solera.ops.kernels.sketching import Blocks, Tally, Unusable, most_keys
from solera.plan.models import Row, table_of
from solera.plan.tasks import Read
from solera.types import CELL, DType, Event

CHUNK = 16 * CELL
"""Elements read at once from every model."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A leaf of a model and its counterpart in the base."""

    leaf: str
    model: Read
    base: Read


def pairs_of(model: Checkpoint, base: Checkpoint, *, lone: bool = False) -> dict[str, Pair]:
    """The leaves that both have in one shape, by name; `lone`: those of the model that the base lacks instead.

    A leaf that is tied in both is the one that it is tied to.
    """
    mine, theirs = table_of(model, str(model.ref)).rows, table_of(base, str(base.ref)).rows
    pairs, alone = {}, {}
    for name, row in mine.items():
        other: Row | None = theirs.get(name)
        left, right = row.expr, None if other is None else other.expr
        if not isinstance(left, Read) or not left.source.spec.dtype.is_float or row.leaf.kind == "buffer":
            continue
        if other is None or not isinstance(right, Read) or right.shape != left.shape:
            alone[name] = Pair(name, left, left)
        elif row.alias is None or other.alias is None:
            pairs[name] = Pair(name, left, right)
    return alone if lone else pairs


def stored(read: Read, reader: ByteReader, start: int, stop: int) -> tuple[NDArray[Any], DType]:
    """Elements of a leaf as bytes, and their type: the file's own where the kernels read it, else float32."""
    source = read.source
    if isinstance(source, FileRange) and source.spec.dtype in FORMATS:
        size = source.spec.dtype.itemsize
        begin = source.offset + (read.offset + start) * size
        return reader.pread(source.path, begin, (stop - start) * size), source.spec.dtype
    import torch

    values = source.read(reader, read.offset + start, read.offset + stop).to(torch.float32).contiguous()
    return values.numpy().view(np.uint8), DType.F32


@dataclass(eq=False)
class _Growing:
    """A leaf's sketch on its way: the fine counts, and the blocks so far."""

    tally: Tally
    blocks: list[Blocks] = field(default_factory=list)
    checks: list[int] = field(default_factory=list)

    def finished(self, pair: Pair) -> LeafSketch:
        """The sketch."""
        joined = {name: np.concatenate([getattr(b, name) for b in self.blocks] or [np.zeros(0)])
                  for name in ("squares", "lengths", "largest")}  # fmt: skip
        coarse = np.concatenate([b.coarse for b in self.blocks] or [np.zeros((0, 1), np.uint32)])
        starts, bins, counts = coarse_rows(coarse)
        place = (pair.model.name, pair.model.offset, pair.base.name, pair.base.offset, pair.model.numel)
        return LeafSketch(
            leaf=pair.leaf,
            place=place,
            squares=joined["squares"].astype(np.float64),
            largest=joined["largest"].astype(np.float32),
            checks=np.array(self.checks, np.uint64),
            base_squares=float(joined["lengths"].sum()),
            zeros=self.tally.zeros,
            shift=self.tally.shift,
            fine=pack_counts(*self.tally.counts()),
            starts=starts,
            bins=bins,
            counts=counts,
        )


@dataclass(frozen=True, eq=False)
class Sketching:
    """The workers' shared part: reader, listener, and what is called with each finished leaf (by one thread)."""

    reader: ByteReader
    threads: int
    listener: Callable[[Event], None]
    finished: Callable[[int, LeafSketch], None]
    done: list[int] = field(default_factory=lambda: [0])
    lock: Lock = field(default_factory=Lock)

    def run(self, leaves: Sequence[Sequence[tuple[int, Pair]]]) -> None:
        """Sketch leaves, each of one or several models; the largest first, so that no worker is left with one."""
        total = sum(_cost(group) for group in leaves)
        ordered = sorted(leaves, key=_cost, reverse=True)
        with ThreadPoolExecutor(self.threads) as pool:
            futures = [pool.submit(self._leaf, group, total) for group in ordered]
            try:
                for future in as_completed(futures):
                    for k, leaf in future.result():
                        self.finished(k, leaf)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _leaf(self, group: Sequence[tuple[int, Pair]], total: int) -> list[tuple[int, LeafSketch]]:
        growing = [_Growing(Tally(_limit(pair))) for _, pair in group]
        numel = group[0][1].base.numel
        for start in range(0, numel, CHUNK):
            stop = min(numel, start + CHUNK)
            held: dict[int, tuple[NDArray[Any], DType]] = {}
            for one, (_, pair) in zip(growing, group, strict=True):
                key = id(pair.base.source) if not isinstance(pair.base.source, FileRange) else 0
                if key not in held:
                    held[key] = stored(pair.base, self.reader, start, stop)
                self._add(one, pair, held[key], start, stop)
            self._tell(sum(_bytes(pair.model, stop - start) for _, pair in group), total)
        return [(k, one.finished(pair)) for one, (k, pair) in zip(growing, group, strict=True)]

    def _add(self, one: _Growing, pair: Pair, base: tuple[NDArray[Any], DType], start: int, stop: int) -> None:
        data, dtype = stored(pair.model, self.reader, start, stop)
        try:
            one.blocks.append(one.tally.add(base[0], data, base[1], dtype))
        except Unusable as error:
            read, bits, kind = (pair.base, *base) if error.operand < 0 else (pair.model, data, dtype)
            raise not_finite(read, start + error.index, _value(bits, kind, error.index)) from None
        step = CELL * dtype.itemsize
        plain = isinstance(pair.model.source, FileRange)
        one.checks += [check_of(data[i : i + step]) if plain else 0 for i in range(0, data.size, step)]

    def _tell(self, nbytes: int, total: int) -> None:
        with self.lock:
            self.done[0] += nbytes
            self.listener(Event("progress", "analyze", done=self.done[0], total=total))


def check_of(block: NDArray[np.uint8]) -> int:
    """64 bits of the digest of a block's bytes; never 0.

    Example:
        >>> check_of(np.zeros(4, np.uint8)) == check_of(np.zeros(4, np.uint8)) != check_of(np.ones(4, np.uint8))
        True
    """
    return int.from_bytes(chunk_digest(block)[:8], "little") or 1


def _limit(pair: Pair) -> int:
    narrow = all(r.source.spec.dtype.itemsize <= 2 for r in (pair.model, pair.base))
    return most_keys(pair.model.numel, narrow)


def _cost(group: Sequence[tuple[int, Pair]]) -> int:
    return sum(_bytes(pair.model, pair.model.numel) for _, pair in group)


def _bytes(read: Read, elements: int) -> int:
    return elements * read.source.spec.dtype.itemsize


def _value(data: NDArray[Any], dtype: DType, index: int) -> float:
    from solera.ops.kernels.formats import raw, widen

    return float(widen(raw(data, dtype)[index : index + 1], dtype)[0])
