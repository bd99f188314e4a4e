"""Two ways to make a leaf behind one face: by a fused kernel where there is one, by the steps everywhere else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from solera.checkpoints.ranges import FileRange
from solera.execute.engine import Engine
from solera.execute.fused import FusedRun, fused_leaf
from solera.ops.kernels import SummaryPass
from solera.plan.chains import chain_of
from solera.plan.tasks import Expr, LeafTask, PopulationStage, Read
from solera.types import DType

if TYPE_CHECKING:
    from solera.ops.contract import Summary


class Maker(Protocol):
    """Makes one leaf, slice by slice."""

    def hold(self, limit: int) -> None:
        """Keep the inputs when they are needed again and fit `limit` bytes."""
        ...

    def fold(self, step: int, state: Any) -> Any:
        """Fold the whole leaf into the state of one step's summary."""
        ...

    def write(self, start: int, stop: int, out: DType) -> Any:
        """Elements [start, stop) as a buffer of bytes of type `out`; good until the worker's next one."""
        ...


@dataclass(eq=False)
class CopyRun:
    """Bytes of a file that are the output's as they stand; they are not inspected."""

    read: Read
    source: FileRange
    engine: Engine

    def hold(self, limit: int) -> None:
        """Nothing is needed twice."""

    def fold(self, step: int, state: Any) -> Any:
        """A copy has no summaries."""
        raise NotImplementedError

    def write(self, start: int, stop: int, out: DType) -> Any:
        """The range itself."""
        begin = self.source.offset + (self.read.offset + start) * out.itemsize
        return self.engine.reader.pread(self.source.path, begin, (stop - start) * out.itemsize)


def maker_for(engine: Engine, expr: Expr, out: DType | None) -> Maker:
    """The quickest way to make a leaf, under the run's budget; `out` is None when only summaries are taken."""
    maker = _quickest(engine, expr, out)
    return maker if engine.budget is None else engine.budget.spared(maker, engine, expr, out)


def _quickest(engine: Engine, expr: Expr, out: DType | None) -> Maker:
    if isinstance(expr, Read) and isinstance(expr.source, FileRange) and out is not None and expr.is_stored_as(out):
        return CopyRun(expr, expr.source, engine)
    leaf = fused_leaf(expr, out, keep_nonfinite=engine.keep_nonfinite) if engine.device is None else None
    return FusedRun(leaf, engine) if leaf is not None else _stepped(engine, expr)


def _stepped(engine: Engine, expr: Expr) -> Maker:
    """The long way, which needs torch."""
    from solera.execute.stepped import SteppedRun

    return SteppedRun.of(engine, expr)


def makers_for(engine: Engine, tasks: Iterable[LeafTask]) -> list[Maker]:
    """One maker per task of a population; all go the same way, so that their states can be joined."""
    tasks = list(tasks)
    makers = [maker_for(engine, task, None) for task in tasks]
    if all(isinstance(maker, FusedRun) for maker in makers):
        return makers
    return [_stepped(engine, task) for task in tasks]


def summary_of(stage: PopulationStage, makers: Iterable[Maker]) -> Summary | SummaryPass:
    """What starts, joins and closes the states that these makers fold into."""
    first = next(iter(makers))
    if isinstance(first, FusedRun):
        return first.pass_of(stage.step)
    summary = chain_of(stage.tasks[0].call).steps[stage.step].summary
    assert summary is not None
    return summary
