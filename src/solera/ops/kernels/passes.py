"""What has to be found out before a block can be written: folds over blocks, with the steps' own results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.ops.kernels import engine
from solera.ops.kernels.program import NOWHERE, Inputs, Packed, Unit
from solera.ops.kernels.ranking import Aim, OrderFold
from solera.ops.kernels.recipe import Ballot, CellSums, Changed, Matrix
from solera.ops.kernels.tree import Partials
from solera.types import CELL


@dataclass(frozen=True, slots=True)
class SumsFold:
    """Sums by cells: magnitudes, squares or inner products."""

    wants: CellSums
    models: int
    rounds: int = 1

    def init(self, round_: int, previous: Any, aim: Aim = ()) -> list[Partials]:  # noqa: ARG002
        """Empty state."""
        return [Partials() for _ in self.wants.names or ("gram",)]

    def add(self, state: list[Partials], unit: Unit) -> bool:
        """Sum one block's cells; False where an input is not finite."""
        n, kind, cell = unit.inputs.elements, self.wants.kind, unit.ops.row or CELL
        if n == 0:
            return True
        found = np.zeros((len(unit.stops), self._rows(unit.inputs.models), -(-n // cell)))
        fine = engine.sums(unit.inputs, unit.ops, unit.start, np.array(unit.stops, np.int64), kind, found, unit.masks)
        for partials, cells in zip(state, found, strict=True):
            partials.blocks.append((unit.leaf, unit.start // cell, cells))
        return fine

    def merge(self, left: list[Partials], right: list[Partials]) -> list[Partials]:
        """Join two states."""
        for mine, other in zip(left, right, strict=True):
            mine.blocks.extend(other.blocks)
        return left

    def finish(self, round_: int, state: list[Partials]) -> Any:  # noqa: ARG002
        """{name: sums per model}, or the matrix of inner products (empty for a tensor without elements)."""
        if self.wants.kind != 1:
            named = zip(self.wants.names, state, strict=True)
            return {name: partials.joined(self.models) for name, partials in named}
        rows = state[0].blocks[0][2].shape[0] if state[0].blocks else 0
        size = int(((8 * rows + 1) ** 0.5 - 1) / 2)
        pairs = list(combinations_with_replacement(range(size), 2))
        upper = dict(zip(pairs, state[0].joined(len(pairs)), strict=True))
        return tuple(tuple(upper[min(i, j), max(i, j)] for j in range(size)) for i in range(size))

    def _rows(self, models: int) -> int:
        return models * (models + 1) // 2 if self.wants.kind == 1 else models


@dataclass(frozen=True, slots=True)
class CountsFold:
    """Whole numbers by name: elected signs, or entries changed with others and alone."""

    wants: Ballot | Changed
    models: int
    rounds: int = 1

    def init(self, round_: int, previous: Any, aim: Aim = ()) -> list[NDArray[np.int64]]:  # noqa: ARG002
        """Empty state."""
        return [np.zeros(2 if isinstance(self.wants, Ballot) else (2, self.models), np.int64)]

    def add(self, state: list[NDArray[np.int64]], unit: Unit) -> bool:
        """Count one block; False where an input is not finite."""
        given = (unit.inputs, unit.ops, unit.start)
        if isinstance(self.wants, Ballot):
            return engine.ballot(*given, self.wants.by_count, state[0])
        return engine.changed(*given, np.float32(self.wants.epsilon), state[0])

    def merge(self, left: Any, right: Any) -> Any:
        """Join two states."""
        left[0] += right[0]
        return left

    def finish(self, round_: int, state: Any) -> Any:  # noqa: ARG002
        """{name: counts}."""
        if isinstance(self.wants, Ballot):
            return {"minus": (int(state[0][1]),), "plus": (int(state[0][0]),)}
        return {name: tuple(int(n) for n in row) for name, row in zip(("shared", "unique"), state[0], strict=True)}


Fold = OrderFold | SumsFold | CountsFold


def row_coefficients(
    find: Callable[[Matrix], Sequence[float]], inputs: Inputs, ops: Packed, start: int
) -> NDArray[np.float32] | None:
    """Coefficients of every row of a block, model by model; None for an input that is not finite."""
    pairs = list(combinations_with_replacement(range(inputs.models), 2))
    found = np.zeros((1, len(pairs), inputs.elements // ops.row))
    if not engine.sums(inputs, ops, start, np.zeros(1, np.int64), 1, found, NOWHERE):
        return None
    place = {pair: p for p, pair in enumerate(pairs)}
    index = [[place[min(i, j), max(i, j)] for j in range(inputs.models)] for i in range(inputs.models)]
    rows = (find(tuple(tuple(row[p] for p in line) for line in index)) for row in found[0].T.tolist())
    return np.array([c for row in rows for c in row], np.float64).astype(np.float32)
