"""What a plan will take: bytes read and written, passes, memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solera.plan.chains import work_of
from solera.plan.tasks import Cost, Expr, LeafTask, OutputTensor, PopulationStage, Read, reads_of, tasks_of
from solera.types import CELL, ROWS, TENSOR

MIB = 1 << 20
DEFAULT_MEMORY = 2048 * MIB


@dataclass(frozen=True, slots=True)
class Shape:
    """How work is cut: elements per block, bytes of one leaf's operands that may be held, workers."""

    block: int
    hold_bytes: int
    threads: int


def shape_for(outputs: Sequence[OutputTensor], memory: int, threads: int) -> Shape:
    """Choose block size and hold cap so that `threads` workers stay within `memory` bytes.

    Blocks shrink with the number of operands; a quarter of each worker's share is for blocks, half for held operands.
    """
    widest = max((_width(part.expr) for t in outputs for part in t.parts), default=1)
    share = memory // max(threads, 1)
    block = min(4 * CELL, max(CELL, share // 4 // (24 * widest) // CELL * CELL))
    return Shape(block, share // 2, threads)


def _width(expr: Expr) -> int:
    """Float32 operands alive at once while one block of `expr` is made."""
    if isinstance(expr, Read):
        return 1
    return len(expr.operands) + 1 + max((_width(o) for o in expr.operands), default=0)


def unit_elements(task: LeafTask, block: int) -> int:
    """Elements in the largest unit of a task: a block, whole rows, or the tensor."""
    grain = work_of(task).grain
    if grain is TENSOR:
        return task.numel
    row = task.shape[-1] if grain is ROWS and task.shape else 1
    return min(task.numel, max(block, row))


def cost_of(outputs: Sequence[OutputTensor], stages: Sequence[PopulationStage], shape: Shape) -> Cost:
    """Price a plan."""
    read, memory, passes, held, again = 0, 0, 1, 0, 0
    for tensor in outputs:
        for part in tensor.parts:
            once = sum(r.source.cost_bytes(r.offset, r.offset + r.numel) for r in reads_of(part.expr))
            rounds = own_passes(part.expr)
            passes = max(passes, rounds)
            hold = rounds > 1 and _held_bytes(part.expr) <= shape.hold_bytes
            held, again = held + hold, again + (rounds > 1 and not hold)
            read += once * (1 if hold else rounds)
            memory = max(memory, _peak(part.expr, shape, hold=hold))
    for stage in stages:
        read += stage.rounds * sum(
            r.source.cost_bytes(r.offset, r.offset + r.numel) for t in stage.tasks for r in reads_of(t)
        )
    passes += sum(stage.rounds for stage in stages)
    words = "nothing needs a second pass" if not held + again else f"{held} tensors held, {again} read again"
    return Cost(read, sum(t.numel * t.dtype.itemsize for t in outputs), passes, memory * shape.threads, words)


def own_passes(expr: Expr) -> int:
    """Passes over one leaf's inputs: one per round of its tensor summaries, and the last."""
    return 1 + sum(work_of(task).tensor_rounds for task in tasks_of(expr))


def _held_bytes(expr: Expr) -> int:
    return sum(r.numel * r.source.spec.dtype.itemsize for r in reads_of(expr))


def _peak(expr: Expr, shape: Shape, *, hold: bool) -> int:
    if isinstance(expr, Read):
        return shape.block * 8
    units = max(unit_elements(t, shape.block) for t in tasks_of(expr))
    return units * 16 * (_width(expr) + 2) + (_held_bytes(expr) if hold else 0)
