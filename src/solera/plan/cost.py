"""What a plan will take: bytes read and written, passes, memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from solera.checkpoints.ranges import FileRange
from solera.plan.chains import is_short, work_of
from solera.plan.expressions import kinds_of, tasks_of
from solera.plan.tasks import Cost, Expr, LeafTask, OutputTensor, PopulationStage, Read, Twins
from solera.types import CELL, ROWS, TENSOR, DType

MIB = 1 << 20
DEFAULT_MEMORY = 512 * MIB
OVERHEAD = 24 * MIB
"""Bytes that any run takes: stacks of workers, their summaries, what the allocator keeps."""
TABLE = 4 << 10
"""Bytes of the plan's own tables, for each output tensor."""
WINDOWS = 24 * MIB
"""Bytes of operands that may stay mapped for a worker: to take pages out of a process stops its other threads."""
STATE = MIB
"""Bytes of one model's share of a running summary: two radix histograms."""
SIFTED = 12 * MIB
"""Bytes that a worker's summaries take besides, of the whole model or of held operands: numbers between brackets."""

_WHOLE = 64
"""Bytes per element of a statistic that is read whole: itself, its float64 copy, the sum, a factor, scratch."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How work is cut: elements per block, bytes of one leaf's operands that may be held, workers."""

    block: int
    hold_bytes: int
    threads: int


def shape_for(outputs: Sequence[OutputTensor], memory: int, threads: int, most: int = 8 * CELL) -> Shape:
    """Choose block size and hold cap so that `threads` workers stay within `memory` bytes.

    Blocks shrink with the number of operands; a quarter of each worker's share is for blocks, half for held operands.
    Blocks of `most` elements at most: smaller ones cost turns of the interpreter, larger ones leave the cache.
    """
    widest = max((_width(part.expr) for t in outputs for part in t.parts), default=1)
    share = max(0, memory - OVERHEAD) // max(threads, 1)
    block = min(most, max(CELL, share // 4 // (24 * widest) // CELL * CELL))
    return Shape(block, share // 2, threads)


def window_bytes(hold_bytes: int) -> int:
    """Bytes of operands that may stay mapped for a worker, beyond the blocks in use."""
    return min(WINDOWS, hold_bytes // 4)


def _width(expr: Expr) -> int:
    """Float32 operands alive at once while one block of `expr` is made."""
    if isinstance(expr, Read):
        return 1
    inner = 1 if isinstance(expr.operands, Twins) else max((_width(o) for o in expr.operands), default=0)
    return len(expr.operands) + 1 + inner


def unit_elements(task: LeafTask, block: int) -> int:
    """Elements in the largest unit of a task: a block, whole rows, or the tensor."""
    grain = work_of(task).grain
    if grain is TENSOR:
        return task.numel
    row = task.shape[-1] if grain is ROWS and task.shape else 1
    return min(task.numel, max(block, row))


def cost_of(outputs: Sequence[OutputTensor], stages: Sequence[PopulationStage], shape: Shape) -> Cost:
    """Price a plan. Memory is what the largest leaves take when all workers are at one of them."""
    parts = [(part.expr, tensor.dtype) for tensor in outputs for part in tensor.parts]
    known: dict[tuple[Any, ...], _Price] = {}
    priced = [_price_once(expr, dtype, shape, known) for expr, dtype in parts]
    swept = sum(stage.rounds * sum(_once(task) for task in stage.tasks) for stage in stages)
    held, again = sum(p.held for p in priced), sum(p.again for p in priced)
    words = f"{held} tensors held, {again} read again" if held + again else "every tensor is written in one pass"
    peaks = sorted((p.peak for p in priced), reverse=True)[: max(shape.threads, 1)]
    widest = max((len(t.operands) for s in stages for t in s.tasks), default=0)
    states = (widest * STATE + SIFTED) * shape.threads if stages else 0
    return Cost(
        read_bytes=swept + sum(p.read for p in priced),
        write_bytes=sum(t.numel * t.dtype.itemsize for t in outputs),
        passes=max((p.rounds for p in priced), default=1) + sum(stage.rounds for stage in stages),
        memory_bytes=OVERHEAD + TABLE * len(outputs) + sum(peaks) + states,
        held=words,
    )


@dataclass(frozen=True, slots=True)
class _Price:
    """What one leaf takes: bytes read, rounds over its inputs, whether they are held or read again, peak memory."""

    read: int
    rounds: int
    held: bool
    again: bool
    peak: int


def _price_once(expr: Expr, out: DType, shape: Shape, known: dict[tuple[Any, ...], _Price]) -> _Price:
    """The price of a leaf, taken from one of equal size, types and call; twins alone are recognised."""
    if not isinstance(expr, LeafTask) or not isinstance(expr.operands, Twins) or isinstance(expr.base, LeafTask):
        return _price(expr, out, shape)
    base, like = expr.base, expr.operands.like
    measured = tuple((m.name, m.reads[0].shape, len(m.reads)) for m in expr.measured)
    key = (id(expr.call), expr.shape, out, _kind(like), base and _kind(base), expr.delta, len(expr.operands), measured)
    if key not in known:
        known[key] = _price(expr, out, shape)
    return known[key]


def _kind(read: Read) -> tuple[Any, ...]:
    """What a read's cost depends on, beside its shape: every file range of a type costs its bytes."""
    source = read.source
    return (source.spec.dtype, read.cast) if isinstance(source, FileRange) else (id(source), read.offset, read.cast)


def _price(expr: Expr, out: DType, shape: Shape) -> _Price:
    rounds, reads = own_passes(expr), tuple(kinds_of(expr))
    once = _once(expr)
    kept = sum(n * r.numel * r.source.spec.dtype.itemsize for r, n in reads) if rounds > 1 else 0
    hold = rounds > 1 and kept <= shape.hold_bytes
    peak = _working(expr, reads, out, shape, held=kept if hold else 0)
    return _Price(once * (1 if hold else rounds), rounds, hold, rounds > 1 and not hold, peak)


def _once(expr: Expr) -> int:
    """Bytes of one pass over an expression's inputs, statistics included."""
    measured = sum(r.source.cost_bytes(0, r.numel) for task in tasks_of(expr) for m in task.measured for r in m.reads)
    return measured + sum(n * r.source.cost_bytes(r.offset, r.offset + r.numel) for r, n in kinds_of(expr))


def own_passes(expr: Expr) -> int:
    """Passes over one leaf's inputs: one per round of its tensor summaries, and the last."""
    return 1 + sum(work_of(task).tensor_rounds for task in tasks_of(expr))


def _working(expr: Expr, reads: Sequence[tuple[Read, int]], out: DType, shape: Shape, held: int) -> int:
    """Bytes alive while one unit is made: stored operands on the short way, several float32 stacks on the long one."""
    if isinstance(expr, Read):
        return min(expr.numel, shape.block) * (expr.source.spec.dtype.itemsize + out.itemsize)
    units = max(unit_elements(task, shape.block) for task in tasks_of(expr))
    if is_short(expr):
        return units * out.itemsize + (held + min(SIFTED, held // 4) if held else _shown(reads, units, shape))
    return units * 16 * (_width(expr) + 2) + max(_measured(task, units) for task in tasks_of(expr)) + held


def _shown(reads: Sequence[tuple[Read, int]], units: int, shape: Shape) -> int:
    """Bytes of stored operands in memory: one unit of each, and what windows keep of the ones before."""
    sizes = [(n * read.source.spec.dtype.itemsize, read.numel) for read, n in reads]
    before = sum(size * max(0, numel - units) for size, numel in sizes)
    return units * sum(size for size, _ in sizes) + min(before, window_bytes(shape.hold_bytes))


def _measured(task: LeafTask, units: int) -> int:
    """Bytes that a task's statistics take: a copy per model of what is cut, the work on one matrix that is whole."""
    cut = sum(8 * units * len(m.reads) for m in task.measured if m.sliced)
    return cut + sum(_WHOLE * m.reads[0].numel for m in task.measured if not m.sliced)
