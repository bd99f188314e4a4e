"""Cutting leaves into units of work: cells, rows or whole tensors, as the grain asks."""

from __future__ import annotations

from collections.abc import Iterator

from solera.plan.chains import work_of
from solera.plan.tasks import Expr, LeafTask, Read
from solera.types import CELL, ROWS, TENSOR


def row_elements(task: LeafTask) -> int:
    """Elements in one row: the last axis; a vector is one row."""
    return max(1, task.shape[-1]) if task.shape else 1


def step_elements(expr: Expr, block: int) -> int:
    """Elements per unit when a leaf is walked through: whole rows or cells, about `block` of them."""
    if isinstance(expr, Read):
        return block
    grain = work_of(expr).grain
    if grain is TENSOR:
        return max(1, expr.numel)
    if grain is ROWS:
        row = row_elements(expr)
        return max(row, block // row * row)
    return max(CELL, block // CELL * CELL)


def units(expr: Expr, start: int, stop: int, block: int) -> Iterator[tuple[int, int]]:
    """Cut [start, stop) into units.

    Example:
        >>> list(units(Read(None, (5,), "m", "t"), 0, 5, 2))  # type: ignore[arg-type]
        [(0, 2), (2, 4), (4, 5)]
    """
    size = step_elements(expr, block)
    for low in range(start, stop, size):
        yield low, min(stop, low + size)
