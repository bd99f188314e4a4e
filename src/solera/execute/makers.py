"""Two ways to make a leaf behind one face: by a fused kernel where there is one, by the steps everywhere else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from solera.execute.evaluate import Engine, LeafRun
from solera.execute.faults import too_large
from solera.execute.fused import FusedRun, fused_leaf
from solera.ops.contract import Summary
from solera.ops.kernels import SummaryPass
from solera.plan.chains import chain_of
from solera.plan.tasks import Expr, LeafTask, PopulationStage, Read
from solera.types import DType


class Maker(Protocol):
    """Makes one leaf, slice by slice."""

    def hold(self, limit: int) -> None:
        """Keep the inputs when they are needed again and fit `limit` bytes."""
        ...

    def fold(self, step: int, state: Any) -> Any:
        """Fold the whole leaf into the state of one step's summary."""
        ...

    def write(self, start: int, stop: int, out: DType) -> Any:
        """Elements [start, stop) as a buffer of bytes of type `out`."""
        ...


@dataclass(eq=False)
class SteppedRun:
    """The long way: the chain's own steps, in torch; copies without arithmetic go here too."""

    expr: Expr
    run: LeafRun

    def hold(self, limit: int) -> None:
        """Keep the inputs when they are needed again."""
        del limit  # the engine's own
        self.run.hold(self.expr)

    def fold(self, step: int, state: Any) -> Any:
        """Fold the leaf into a summary."""
        assert isinstance(self.expr, LeafTask)
        return self.run.fold(self.expr, step, state)

    def write(self, start: int, stop: int, out: DType) -> Any:
        """A slice of the result, rounded once."""
        import torch

        from solera.checkpoints.writer import tensor_bytes

        expr, run = self.expr, self.run
        if isinstance(expr, Read) and expr.is_stored_as(out):
            return tensor_bytes(run.raw(expr, start, stop))
        if isinstance(expr, LeafTask) and start == 0:
            run.look(expr)
        values = run.merged(expr, start, stop) if isinstance(expr, LeafTask) else run.values(expr, start, stop)
        rounded = values.to(getattr(torch, out.torch_name))
        if out is DType.F16 and not run.engine.keep_nonfinite and not bool(torch.isfinite(rounded).all()):
            raise too_large(expr.leaf if isinstance(expr, LeafTask) else expr.name)
        return tensor_bytes(rounded)


def maker_for(engine: Engine, expr: Expr, out: DType | None) -> Maker:
    """The quickest way to make a leaf; `out` is None when only summaries are taken."""
    leaf = fused_leaf(expr, out, keep_nonfinite=engine.keep_nonfinite) if engine.fuse else None
    if leaf is None:
        return SteppedRun(expr, LeafRun(engine))
    return FusedRun(leaf, engine)


def makers_for(engine: Engine, tasks: Iterable[LeafTask]) -> list[Maker]:
    """One maker per task of a population; all go the same way, so that their states can be joined."""
    tasks = list(tasks)
    makers = [maker_for(engine, task, None) for task in tasks]
    if all(isinstance(maker, FusedRun) for maker in makers):
        return makers
    return [SteppedRun(task, LeafRun(engine)) for task in tasks]


def summary_of(stage: PopulationStage, makers: Iterable[Maker]) -> Summary | SummaryPass:
    """What starts, joins and closes the states that these makers fold into."""
    first = next(iter(makers))
    if isinstance(first, FusedRun):
        return first.pass_of(stage.step)
    summary = chain_of(stage.key[1]).steps[stage.step].summary
    assert summary is not None
    return summary
