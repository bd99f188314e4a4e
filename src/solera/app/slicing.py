"""Layers as units: from what each layer of the result is made of to a recipe of slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from solera.recipe.values import Merge, Operand, Recipe, Setting, Slice

Row = tuple[tuple[Operand, int], ...]
"""One layer of the result: the operands that it is made of, and which layer of each."""


def sliced(method: str, rows: Sequence[Row], parameters: Mapping[str, Setting] | None = None) -> Recipe:
    """A recipe that stacks layers; those that follow each other in the same operands become one slice.

    Args:
        method: what merges the sources of a slice; ``passthrough`` where each has one.
        rows: one for each layer of the result, in order.
        parameters: of the whole merge.

    Example:
        >>> from solera.types import ModelRef
        >>> a = Operand(ModelRef("a"))
        >>> recipe = sliced("passthrough", [((a, 0),), ((a, 1),), ((a, 3),)])
        >>> [one.sources[0].layers for one in recipe.merge.slices]
        [(0, 2), (3, 4)]
    """
    runs: list[list[Row]] = []
    for row in rows:
        if runs and _follows(runs[-1][-1], row):
            runs[-1].append(row)
        else:
            runs.append([row])
    return Recipe(Merge(method, slices=tuple(map(_slice, runs)), parameters=dict(parameters or {})))


def _follows(before: Row, row: Row) -> bool:
    return len(before) == len(row) and all(
        one == other and layer == earlier + 1 for (other, earlier), (one, layer) in zip(before, row, strict=True)
    )


def _slice(run: Sequence[Row]) -> Slice:
    return Slice(tuple(replace(operand, layers=(layer, layer + len(run))) for operand, layer in run[0]))
