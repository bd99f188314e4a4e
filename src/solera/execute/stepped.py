"""The long way to a leaf: the chain's own steps, in torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from solera.checkpoints.writer import tensor_bytes
from solera.execute.engine import Engine
from solera.execute.evaluate import LeafRun
from solera.execute.faults import too_large
from solera.plan.tasks import Expr, LeafTask, Read
from solera.types import DType


@dataclass(eq=False)
class SteppedRun:
    """The long way: the chain's own steps, in torch; copies without arithmetic go here too."""

    expr: Expr
    run: LeafRun

    @classmethod
    def of(cls, engine: Engine, expr: Expr) -> SteppedRun:
        """Start on a leaf. Workers are the parallelism, so the library keeps to one thread."""
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        return cls(expr, LeafRun(engine))

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
        expr, run = self.expr, self.run
        if isinstance(expr, Read) and expr.is_stored_as(out):
            return tensor_bytes(run.raw(expr, start, stop).cpu())
        if isinstance(expr, LeafTask) and start == 0 and run.engine.budget is None:
            run.look(expr)
        values = run.merged(expr, start, stop) if isinstance(expr, LeafTask) else run.values(expr, start, stop)
        rounded = values.to(getattr(torch, out.torch_name))
        if out is DType.F16 and not run.engine.keep_nonfinite and not bool(torch.isfinite(rounded).all()):
            raise too_large(expr.leaf if isinstance(expr, LeafTask) else expr.name)
        return tensor_bytes(rounded.cpu())
