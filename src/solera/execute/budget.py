"""A run under a budget: a reader that answers with the base where a block is left out, and makers that know it.

Everything else stays as it is: kernels and steps ask for ranges of files, and find no difference where nothing was
read. Bytes are counted where they are asked of the files; what a plan did not foresee is refused before it is read.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solera.checkpoints.contract import ByteReader
from solera.checkpoints.identity import chunk_digest
from solera.checkpoints.ranges import FileRange
from solera.errors import PlanError, RunError, SourceChanged
from solera.plan.budget_inputs import base_of
from solera.plan.budget_values import BudgetPlan, Stretch
from solera.plan.chains import chain_of
from solera.plan.expressions import tasks_of
from solera.plan.tasks import Expr, LeafTask, Read
from solera.types import CELL, DType

if TYPE_CHECKING:
    from solera.execute.engine import Engine
    from solera.execute.job import Backend
    from solera.execute.makers import Maker

Bytes = NDArray[np.uint8]


class BudgetReader:
    """Reads through another reader; blocks that are not chosen are the base's bytes.

    The last range of the base that a thread has read is kept for it: its models are asked for the same elements next.

    Example:
        >>> from solera.checkpoints import MemoryReader
        >>> chosen, checks = np.array([True, False]), np.zeros(2, np.uint64)
        >>> plan = BudgetPlan(2, 4, 2, stretches=(Stretch("m", 0, 4, "b", 0, 2, chosen, checks),), bases=frozenset("b"))
        >>> reader = BudgetReader(MemoryReader({"m": b"MMMM", "b": b"base"}), plan)
        >>> reader.pread("m", 0, 4).tobytes(), reader.spent, reader.bytes_read
        (b'MMse', 2, 4)
    """

    def __init__(self, inner: ByteReader, plan: BudgetPlan) -> None:
        """Read what `plan` has chosen through `inner`."""
        self._inner, self._plan = inner, plan
        if any("://" in stretch.path for stretch in plan.stretches) and hasattr(inner, "exactly"):
            inner.exactly()
        self._files = _by_file(plan.stretches)
        self._last = threading.local()
        self._lock = threading.Lock()
        self.spent = 0

    @property
    def bytes_read(self) -> int:
        """Bytes read so far, of all files."""
        return self._inner.bytes_read

    def pread(self, path: str, offset: int, nbytes: int, into: Bytes | None = None) -> Bytes:
        """As the other reader's, with the base's bytes in blocks that are left out.

        Raises:
            SourceChanged: a block is not what it was when it was sketched. RunError: more would be read than planned.
        """
        found = self._find(path, offset, nbytes)
        if found is None:
            return self._whole(path, offset, nbytes, into)
        out: Bytes = np.empty(nbytes, np.uint8) if into is None else into[:nbytes]
        for begin, end, chosen in _pieces(found, offset - found.begin, offset - found.begin + nbytes):
            at = begin - (offset - found.begin)
            part = out[at : at + end - begin]
            part[:] = self._chosen(found, begin, end) if chosen else self._base(found, begin, end)
        return out

    def _find(self, path: str, offset: int, nbytes: int) -> Stretch | None:
        begins, stretches = self._files.get(path, ((), ()))
        at = bisect_right(begins, offset) - 1
        found = stretches[at] if at >= 0 else None
        return found if found is not None and offset + nbytes <= found.begin + found.nbytes else None

    def _whole(self, path: str, offset: int, nbytes: int, into: Bytes | None) -> Bytes:
        if path not in self._plan.bases:
            self._spend(path, nbytes)
            return self._read(path, offset, nbytes, into)
        data = self._read(path, offset, nbytes, into)
        self._last.range = path, offset, data if into is None else data.copy()
        return data

    def _read(self, path: str, offset: int, nbytes: int, into: Bytes | None) -> Bytes:
        return (
            self._inner.pread(path, offset, nbytes) if into is None else self._inner.pread(path, offset, nbytes, into)
        )

    def _spend(self, path: str, nbytes: int) -> None:
        limit = self._plan.limit
        with self._lock:
            if limit is not None and self.spent + nbytes > limit:
                raise RunError("The merge asked for more than its budget.", where=path,
                               got=f"{self.spent + nbytes} bytes", want=f"at most {limit} bytes",
                               fix="this is a fault of the plan; raise the budget to go on")  # fmt: skip
            self.spent += nbytes

    def _chosen(self, one: Stretch, begin: int, end: int) -> Bytes:
        self._spend(one.path, end - begin)
        data = self._inner.pread(one.path, one.begin + begin, end - begin)
        for block in range(-(-begin // one.block_bytes), -(-end // one.block_bytes)):
            low, high = block * one.block_bytes, min((block + 1) * one.block_bytes, one.nbytes)
            want = int(one.checks[block])
            if want and high <= end and _check(data[low - begin : high - begin]) != want:
                raise SourceChanged("The sketch is stale: the model has changed since it was made.", where=one.path,
                                    got=f"other bytes from {one.begin + low}",
                                    fix="sketch it anew with `solera analyze --force`")  # fmt: skip
        return data

    def _base(self, one: Stretch, begin: int, end: int) -> Bytes:
        path, offset = one.base_path, one.base_begin + begin
        known, start, data = getattr(self._last, "range", ("", 0, np.empty(0, np.uint8)))
        if known != path or not start <= offset <= offset + end - begin <= start + data.size:
            start, data = offset, self._inner.pread(path, offset, end - begin)
            self._last.range = path, start, data
        return data[offset - start : offset - start + end - begin]


def _check(block: Bytes) -> int:
    return int.from_bytes(chunk_digest(block)[:8], "little") or 1


def _by_file(stretches: tuple[Stretch, ...]) -> Mapping[str, tuple[tuple[int, ...], tuple[Stretch, ...]]]:
    found: dict[str, list[Stretch]] = {}
    for one in sorted(stretches, key=lambda s: s.key):
        found.setdefault(one.path, []).append(one)
    return {path: (tuple(s.begin for s in rows), tuple(rows)) for path, rows in found.items()}


def _pieces(one: Stretch, begin: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """[begin, end) of a stretch, cut where choosing changes: (begin, end, chosen)."""
    first, last = begin // one.block_bytes, -(-end // one.block_bytes)
    flags = one.chosen[first:last]
    edges = [0, *(np.flatnonzero(np.diff(flags)) + 1).tolist(), flags.size]
    for low, high in itertools.pairwise(edges):
        if high > low:
            start, stop = (first + low) * one.block_bytes, (first + high) * one.block_bytes
            yield max(begin, start), min(end, stop), bool(flags[low])


@dataclass(frozen=True, eq=False)
class Spending:
    """What makers must know of a budget: the plan, and the leaves by where they lie."""

    plan: BudgetPlan
    leaves: Mapping[tuple[str, int], Stretch] = field(default_factory=dict)

    def spared(self, maker: Maker, engine: Engine, expr: Expr, out: DType | None) -> Maker:
        """The maker with what is known put in, that copies the base where no model is read."""
        if not isinstance(expr, LeafTask):
            return maker
        _inform(maker, expr, self)
        base, left = self.untouched(expr)
        if base is None or left is None or out is None:
            return Spared(maker, None, np.zeros(0, np.bool_))
        from solera.execute.budget_few import few
        from solera.execute.fused import FusedRun
        from solera.execute.makers import maker_for

        chosen = self._chosen(expr) if isinstance(maker, FusedRun) else None
        quick = few(maker, chosen) if isinstance(maker, FusedRun) and chosen is not None else None
        return Spared(quick or maker, maker_for(engine, base, out), left)

    def _chosen(self, task: LeafTask) -> NDArray[np.bool_] | None:
        """Which models are read where, (models, blocks); None where one is no plain range of a file."""
        rows = [self._stretch(operand) for operand in task.operands if isinstance(operand, Read)]
        found = [stretch.chosen for stretch in rows if stretch is not None]
        return np.stack(found) if len(found) == len(task.operands) else None

    def untouched(self, expr: Expr) -> tuple[Read | None, NDArray[np.bool_] | None]:
        """The base of an expression, and the blocks in which none of its models is read; None where there is none."""
        if isinstance(expr, Read):
            stretch = self._stretch(expr)
            return None, None if stretch is None else ~stretch.chosen
        base = base_of(expr)
        if base is None:
            return None, None
        left = np.ones(-(-expr.numel // CELL), np.bool_)
        for operand in expr.operands:
            if isinstance(operand, Read) and _is_same(operand, base):
                continue
            inner, blocks = self.untouched(operand)
            if blocks is None or (inner is not None and not _is_same(inner, base)):
                return None, None
            left &= blocks
        return base, left

    def _stretch(self, read: Read) -> Stretch | None:
        if not isinstance(read.source, FileRange):
            return None
        return self.leaves.get((read.source.path, read.source.offset + read.offset * read.source.spec.dtype.itemsize))


def _is_same(left: Read, right: Read) -> bool:
    return left.source == right.source and left.offset == right.offset and left.numel == right.numel


def _inform(maker: Any, expr: LeafTask, spending: Spending) -> None:
    """Put thresholds that the sketches know where the maker would keep those that it finds."""
    known = spending.plan.tensors
    for task in tasks_of(expr) if known else ():
        stepped = hasattr(maker, "run")
        count = len(chain_of(task.call).steps if stepped else maker.leaf.kernel.recipe.stages)
        found = [known.get((task.node, task.leaf, i)) for i in range(count)]
        if stepped:
            maker.run.finished[id(task)] = found
        else:
            maker.found = found


@dataclass(eq=False)
class Spared:
    """A maker of one leaf under a budget: the base's own where no model is read, the method's everywhere else."""

    maker: Maker
    base: Maker | None
    left: NDArray[np.bool_]

    def hold(self, limit: int) -> None:
        """Nothing is needed twice: thresholds are known."""

    def fold(self, step: int, state: Any) -> Any:
        """As without a budget."""
        return self.maker.fold(step, state)

    def write(self, start: int, stop: int, out: DType) -> Any:
        """Elements [start, stop) as bytes; blocks in which nothing is read are copied from the base."""
        if self.base is None:
            return self.maker.write(start, stop, out)
        first = start // CELL
        flags = self.left[first : -(-stop // CELL)]
        edges = [0, *(np.flatnonzero(np.diff(flags)) + 1).tolist(), flags.size]
        if len(edges) == 2:
            return (self.base if flags[0] else self.maker).write(start, stop, out)
        made = np.empty((stop - start) * out.itemsize, np.uint8)
        for low, high in pairwise(edges):
            begin, end = max(start, (first + low) * CELL), min(stop, (first + high) * CELL)
            part = (self.base if flags[low] else self.maker).write(begin, end, out)
            made[(begin - start) * out.itemsize : (end - start) * out.itemsize] = np.frombuffer(part, np.uint8)
        return made


def under_budget(engine: Engine, plan: BudgetPlan | None, backend: Backend | None = None) -> Engine:
    """The engine of a run under a budget; the same engine where everything is read.

    Raises:
        PlanError: the work is done where nobody counts what is read.
    """
    if plan is None or plan.is_plain:
        return engine
    if backend is not None and not getattr(backend, "counts_spending", False):
        raise PlanError("A budget needs a backend that counts what is read.", want="threads, inline or ray",
                        fix="leave the budget out, or the backend")  # fmt: skip
    leaves = {stretch.key: stretch for stretch in plan.stretches}
    populations = {**engine.populations, **plan.populations}
    reader = BudgetReader(engine.reader, plan)
    return replace(engine, reader=reader, populations=populations, budget=Spending(plan, leaves))


def spent(engine: Engine, plan: BudgetPlan | None, elsewhere: int = 0) -> dict[str, Any] | None:
    """What a budget came to, for the report; `read` is what was counted when models other than the base were read."""
    if plan is None:
        return None
    read = engine.reader.spent if isinstance(engine.reader, BudgetReader) else None
    return {**plan.to_json(), "read": read, "bytes_read": engine.reader.bytes_read + elsewhere}
