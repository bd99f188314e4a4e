"""Blocks in which few models are read: the kernel on those alone, where a zero difference counts for nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.execute.fused import FusedRun
from solera.ops.kernels import Bad, Bound
from solera.ops.kernels.engine import unrolled_form
from solera.ops.kernels.program import Code, Ending
from solera.types import CELL, ELEMENT, DType

_OPS = frozenset({Code.KEEP, Code.DROP, Code.SCALE, Code.ELECT})
_ENDINGS = frozenset({Ending.TOTAL, Ending.WEIGHTED, Ending.DISJOINT})


@dataclass(eq=False)
class FewRun:
    """A fused leaf, block by block, by the models that are read there: (models, blocks) of `chosen`."""

    run: FusedRun
    chosen: NDArray[np.bool_]
    bounds: dict[bytes, tuple[NDArray[np.int64], Bound]] = field(default_factory=dict)

    def hold(self, limit: int) -> None:
        """Nothing is needed twice."""

    def fold(self, step: int, state: Any) -> Any:
        """With all models."""
        return self.run.fold(step, state)

    def write(self, start: int, stop: int, out: DType) -> Any:
        """Elements [start, stop) as bytes."""
        target = np.empty((stop - start) * out.itemsize, np.uint8)
        low = start
        while low < stop:
            block = low // CELL
            last = block + 1
            while last * CELL < stop and (self.chosen[:, last] == self.chosen[:, block]).all():
                last += 1
            high = min(stop, last * CELL)
            self._write(low, high, out, target[(low - start) * out.itemsize : (high - start) * out.itemsize])
            low = high
        return target

    def _write(self, start: int, stop: int, out: DType, target: NDArray[np.uint8]) -> None:
        models, bound = self._bound(self.chosen[:, start // CELL])
        leaf = self.run.leaf
        base = self.run.stored(0, start, stop)
        blocks = [self.run.stored(1 + k, start, stop) for k in models.tolist()]
        dtypes = [leaf.dtypes[0], *(leaf.dtypes[1 + k] for k in models)]
        bad = bound.write(base, blocks, dtypes, target, out, start)
        if bad is not None:
            operand = int(models[bad.operand]) if bad.operand >= 0 else bad.operand
            raise self.run._nonfinite(Bad(operand, bad.index))  # noqa: SLF001

    def _bound(self, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Bound]:
        """The kernel for some of the models, with what belongs to them."""
        key = np.packbits(chosen).tobytes()
        if key not in self.bounds:
            models = np.flatnonzero(chosen)
            self.bounds[key] = models, _part(_whole(self.run), models)
        return self.bounds[key]


def _whole(run: FusedRun) -> Bound:
    return run.leaf.kernel.bind(run.finish(), run.leaf.facts)


def _part(bound: Bound, models: NDArray[np.int64]) -> Bound:
    """A program for some of the models: every table has a column for each."""
    own = bound.ops
    ops = replace(
        own,
        low=np.ascontiguousarray(own.low[:, models]),
        high=np.ascontiguousarray(own.high[:, models]),
        keys=np.ascontiguousarray(own.keys[:, models]),
        bars=np.ascontiguousarray(own.bars[:, models]),
        wide=np.ascontiguousarray(own.wide[:, :, models]),
    )
    ends = replace(bound.ends, shares=bound.ends.shares[models], later=bound.ends.later[models])
    return replace(bound, ops=ops, ends=ends, unrolled=unrolled_form(ops, ends, delta=True))


def few(run: FusedRun, chosen: NDArray[np.bool_]) -> FewRun | None:
    """The run by those that are read; None where a model without a difference still counts for something."""
    kernel = run.leaf.kernel
    if not kernel.delta or kernel.recipe.base_as_operand or kernel.recipe.by_row or kernel.grain is not ELEMENT:
        return None
    bound = _whole(run)
    counts = bound.ends.ending in _ENDINGS and set(bound.ops.codes.tolist()) <= _OPS
    return FewRun(run, chosen) if counts else None
