"""The short way: leaves whose method has a fused kernel, and whose operands are plain ranges of files.

Same values as `evaluate`, bit for bit: the kernels are held to the steps by a law, and what they find out first is
interchangeable with what the steps' summaries find. Bytes go from the file through one kernel into the output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from solera.checkpoints.ranges import FileRange
from solera.errors import NonFinite
from solera.execute.cutting import units
from solera.execute.engine import Engine
from solera.execute.faults import not_finite, too_large
from solera.execute.kinship import SAMPLE
from solera.execute.sampling import RUN, runs
from solera.execute.windows import Span
from solera.ops.kernels import Bad, Bound, FusedKernel, Leaf, SummaryPass
from solera.ops.kernels.brackets import Bracket
from solera.ops.kernels.engine import compiled
from solera.ops.kernels.formats import raw, widen
from solera.ops.kernels.program import NOWHERE, Divergences, Kept, Masks, Op
from solera.ops.kernels.ranking import SMALL, Small
from solera.plan.chains import is_short, kernel_of
from solera.plan.tasks import Expr, LeafTask, Read
from solera.types import DType, Grain, Scope

Block = NDArray[np.uint8]

AT_ONCE = 4
"""Blocks that a summary takes at once where memory shows them: nothing is written, and turns of Python are saved."""


@dataclass(frozen=True, eq=False)
class FusedLeaf:
    """A task that kernels can make: its reads (the base first, if any), their types, its kernel."""

    task: LeafTask
    kernel: FusedKernel
    reads: tuple[Read, ...]
    dtypes: tuple[DType, ...]
    facts: Leaf

    @property
    def based(self) -> bool:
        """Whether the first read is the base."""
        return self.task.base is not None


def fused_leaf(expr: Expr, out: DType | None, *, keep_nonfinite: bool) -> FusedLeaf | None:
    """The short way to a leaf, or None: nested, adapted, cast or other-typed operands go the long way.

    Args:
        expr: what to make.
        out: the type to be written; None when only summaries are taken.
        keep_nonfinite: NaN and infinity are allowed, which kernels do not offer.
    """
    if keep_nonfinite or compiled() is None or not isinstance(expr, LeafTask) or not is_short(expr):
        return None
    reads = tuple(part for part in (expr.base, *expr.operands) if isinstance(part, Read))
    kernel = kernel_of(expr.call, len(expr.operands), delta=expr.delta)
    dtypes = tuple(read.source.spec.dtype for read in reads)
    if kernel is None or not kernel.supports(dtypes, out or DType.F32):
        return None
    return FusedLeaf(expr, kernel, reads, dtypes, Leaf(expr.shape, expr.leaf, expr.models, expr.seed))


@dataclass(eq=False)
class FusedRun:
    """One worker's work on one fused leaf: held bytes, what has been found, the bound kernel.

    `kept` is what operations left when sums were taken; `room` the bytes that it may take. `asked` says that operands
    are on their way from the disk, and have not been read.
    """

    leaf: FusedLeaf
    engine: Engine
    held: list[Block] = field(default_factory=list)
    found: list[Any] | None = None
    bound: Bound | None = None
    kept: Kept | None = None
    room: int = 0
    asked: bool = False

    @cached_property
    def spans(self) -> list[Span]:
        """Where the operands are."""
        return [_span(read) for read in self.leaf.reads]

    @cached_property
    def known(self) -> Divergences:
        """How far rows are from the base's, as passes find it: what comes later does not look again."""
        return self.leaf.kernel.unseen(self.leaf.facts)

    def hold(self, limit: int) -> None:
        """Have all operands read ahead; read them once and keep them, when they are needed again and fit."""
        leaf = self.leaf
        self._ask()
        again = any(p.scope is Scope.TENSOR for p in leaf.kernel.passes)
        needs = sum(r.numel * r.source.spec.dtype.itemsize for r in leaf.reads)
        self.room = limit - needs if needs <= limit else limit
        if again and needs <= limit:
            self.held = [self.stored(slot, 0, leaf.task.numel) for slot in range(len(leaf.reads))]

    def _ask(self) -> None:
        """Have all operands read ahead, where they are not on their way."""
        if not self.asked:
            self.engine.windows.soon(self.spans)
        self.asked = True

    def stored(self, slot: int, start: int, stop: int) -> Block:
        """Elements of an operand as stored, in memory that the worker uses again."""
        size = self.leaf.dtypes[slot].itemsize
        return self.engine.windows.at(slot, self.spans[slot], start * size, stop * size, len(self.spans))

    def _blocks(self, start: int, stop: int) -> tuple[Block | None, list[Block]]:
        if self.held:
            sizes = (dtype.itemsize for dtype in self.leaf.dtypes)
            blocks = [data[start * s : stop * s] for data, s in zip(self.held, sizes, strict=True)]
        else:
            blocks = [self.stored(slot, start, stop) for slot in range(len(self.leaf.reads))]
        return (blocks[0], blocks[1:]) if self.leaf.based else (None, blocks)

    def fold(self, step: int, state: Any) -> Any:
        """Fold the whole leaf into the state of one step's summary."""
        found, pass_ = self.finish(step), self.pass_of(step)
        masks = self._noting(pass_.chosen(state, found, self.leaf.facts))
        if not self.held:
            self._ask()
            self.asked = False
        for start, stop in units(self.leaf.task, 0, self.leaf.task.numel, self.engine.block * self._at_once):
            base, blocks = self._blocks(start, stop)
            bad = pass_.add(state, base, blocks, self.leaf.dtypes, found, start, self.leaf.facts, masks, self.known)
            self.engine.windows.check(self.spans)
            if bad is not None:
                raise self._nonfinite(bad)
        return state

    @property
    def _at_once(self) -> int:
        """Blocks that a summary takes at once: of held operands, or as many as may stay mapped."""
        if self.held:
            return AT_ONCE
        block = self.engine.block * max(dtype.itemsize for dtype in self.leaf.dtypes)
        return max(1, min(AT_ONCE, self.engine.windows.share(len(self.spans)) // block))

    def _noting(self, ops: tuple[Op, ...]) -> Masks:
        """Masks for what operations leave, where there is room for them."""
        models = len(self.leaf.reads) - int(self.leaf.kernel.delta)
        nbytes = models * -(-self.leaf.task.numel // 8)
        if not ops or nbytes > self.room:
            return NOWHERE
        self.kept = Kept(ops, self.engine.buffers.at(len(self.leaf.reads), nbytes).reshape(models, -1))
        return self.kept.masks

    def pass_of(self, step: int) -> SummaryPass:
        """The pass that a step needs."""
        return next(p for p in self.leaf.kernel.passes if p.step == step)

    def finish(self, upto: int | None = None) -> list[Any]:
        """What the steps have to find out, taking what is missing before step `upto`."""
        if self.found is None:
            self.found = [None] * len(self.leaf.kernel.recipe.stages)
        for pass_ in self.leaf.kernel.passes:
            if upto is not None and pass_.step >= upto:
                break
            if self.found[pass_.step] is None:
                self.found[pass_.step] = self._find(pass_)
        return self.found

    def _find(self, pass_: SummaryPass) -> Any:
        if pass_.scope is Scope.POPULATION:
            return self.engine.populations[self.leaf.task.population, pass_.step]
        result, first = self._ranked(pass_)
        for round_ in range(first, pass_.rounds):
            result = pass_.finish(round_, self.fold(pass_.step, pass_.init(round_, result)))
        return result

    def _ranked(self, pass_: SummaryPass) -> tuple[Any, int]:
        """What two counting rounds find, and 2, where one is enough; else nothing, and 0."""
        small = self.leaf.task.numel <= SMALL
        if not pass_.ranks or not (small or self.leaf.kernel.grain is Grain.ELEMENT):
            return None, 0
        aim = Small() if small else self._guess(pass_)
        found = pass_.settled(self.fold(pass_.step, pass_.init(0, None, aim=aim))) if aim else None
        return found, 0 if found is None else 2

    @property
    def fetches(self) -> bool:
        """Whether an operand lies across a network."""
        return any("://" in r.source.path for r in self.leaf.reads if isinstance(r.source, FileRange))

    def _guess(self, pass_: SummaryPass) -> Bracket:
        """Where a sample says that the thresholds lie; nothing where it holds what is not finite, or would be fetched.

        Over a network, a thousand short runs cost more than a pass.
        """
        if not self.held and self.fetches:
            return ()
        state = pass_.init(0, None, aim=Small())
        return pass_.guess(state, RUN) if self.sample(pass_, state, runs(self.leaf.task.numel)) else ()

    def sample(self, pass_: SummaryPass, state: Any, starts: NDArray[np.int64]) -> bool:
        """Fold the runs that begin at `starts` in; False where one holds what is not finite."""
        sample = self._sampled(starts)
        base, blocks = (sample[0], sample[1:]) if self.leaf.based else (None, sample)
        return pass_.add(state, base, blocks, self.leaf.dtypes, self.finish(pass_.step), 0, self.leaf.facts) is None

    def _sampled(self, starts: NDArray[np.int64]) -> list[Block]:
        """Runs of every operand, one after another."""
        numel, dtypes = self.leaf.task.numel, self.leaf.dtypes
        if not self.held:
            run = min(RUN, numel)
            places = zip(self.spans, dtypes, strict=True)
            return [self.engine.windows.runs(s, (starts * d.itemsize).tolist(), run * d.itemsize) for s, d in places]
        windows = (
            sliding_window_view(data, RUN * d.itemsize)[starts * d.itemsize]
            for data, d in zip(self.held, dtypes, strict=True)
        )
        return [np.ascontiguousarray(window).reshape(-1) for window in windows]

    def write(self, start: int, stop: int, out: DType) -> Block:
        """Elements [start, stop) of the result, as bytes of type `out`; good until this worker's next block."""
        if self.bound is None:
            self.bound = self.leaf.kernel.bind(self.finish(), self.leaf.facts, self.kept, self.known)
        base, blocks = self._blocks(start, stop)
        if start == 0 and base is not None and self.leaf.task.delta:
            self._look(base, blocks)
        target = self.engine.buffers.at(len(self.leaf.reads) + 1, (stop - start) * out.itemsize)
        bad = self.bound.write(base, blocks, self.leaf.dtypes, target, out, start)
        self.engine.windows.check(self.spans)
        if bad is not None:
            raise self._nonfinite(bad)
        return target

    def _look(self, base: Block, blocks: list[Block]) -> None:
        heads = [
            widen(raw(block[: SAMPLE * dtype.itemsize], dtype), dtype)
            for block, dtype in zip((base, *blocks), self.leaf.dtypes, strict=True)
        ]
        self.engine.kinship.look(self.leaf.task.models, heads[1:], heads[0])

    def _nonfinite(self, bad: Bad) -> NonFinite:
        task = self.leaf.task
        if bad.operand == -2:
            return too_large(task.leaf)
        read = self.leaf.reads[0] if bad.operand == -1 else self.leaf.reads[bad.operand + self.leaf.based]
        value = read.source.read(self.engine.reader, read.offset + bad.index, read.offset + bad.index + 1)
        return not_finite(read, bad.index, float(value[0]))


def _span(read: Read) -> Span:
    """Where an operand is."""
    source = read.source
    assert isinstance(source, FileRange)
    size = source.spec.dtype.itemsize
    return Span(source.path, source.offset + read.offset * size, read.numel * size)
