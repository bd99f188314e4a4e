"""From a merged table to output tensors: names, order, types, fused parts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from solera.errors import PlanError
from solera.plan.models import ModelTable, Row
from solera.plan.tasks import OutputTensor, Part
from solera.recipe.values import Recipe
from solera.types import DType


def outputs_of(recipe: Recipe, table: ModelTable) -> tuple[OutputTensor, ...]:
    """Lay the leaves of a table out as tensors: the layout model's own (fused) ones, or one per leaf.

    Raises:
        PlanError: leaves do not cover a fused tensor.
    """
    rows = [row for row in table.rows.values() if _is_written(row, table)]
    if recipe.output.layout == "leaves":
        return tuple(_tensor(recipe, row.leaf.name, [row]) for row in rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.leaf.tensor, []).append(row)
    return tuple(_tensor(recipe, name, groups[name], table) for name in _order(groups, table))


def _is_written(row: Row, table: ModelTable) -> bool:
    """A tied leaf is written only where the layout model's file holds it too."""
    return row.alias is None or row.leaf.tensor in table.checkpoint.table


def _order(groups: Mapping[str, list[Row]], table: ModelTable) -> Iterable[str]:
    if table.layer_sources:
        return sorted(groups, key=lambda name: groups[name][0].leaf.place == "after")
    known = [name for name in table.tensors if name in groups]
    return [*known, *(name for name in groups if name not in table.tensors)]


def _tensor(recipe: Recipe, name: str, rows: list[Row], table: ModelTable | None = None) -> OutputTensor:
    if len(rows) > 1:
        rows = sorted(rows, key=lambda row: row.leaf.start)
    parts, covered = [], 0
    for row in rows:
        if table is not None and row.leaf.start not in (covered, 0):
            raise PlanError(f"{name} is not covered by its leaves.", got=f"a gap at element {covered}")
        parts.append(Part(covered, row.expr, row.leaf.name, row.status, row.origin))
        covered += row.expr.numel
    return OutputTensor(name, _shape(name, rows, table, covered), _dtype(recipe, rows), tuple(parts))


def _shape(name: str, rows: list[Row], table: ModelTable | None, covered: int) -> tuple[int, ...]:
    if len(rows) == 1:
        return rows[0].expr.shape
    stored = table.tensors.get(name) if table else None
    shape = (len(rows), *rows[0].expr.shape) if stored is None else stored
    return shape if math.prod(shape) == covered else _stacked(rows, shape)


def _stacked(rows: list[Row], shape: tuple[int, ...]) -> tuple[int, ...]:
    total = sum(math.prod(row.expr.shape) for row in rows)
    return (total // math.prod(shape[1:]), *shape[1:])


def _dtype(recipe: Recipe, rows: list[Row]) -> DType:
    natural = rows[0].expr.natural
    wanted = recipe.output.dtype
    if wanted is None or not natural.is_float:
        return natural
    if recipe.dialect == "solera" and any(row.leaf.wide for row in rows) and natural.itemsize > wanted.itemsize:
        return natural
    return wanted
