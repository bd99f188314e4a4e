"""What travels between coordinator and workers: expressions and ranges there, digests and small states back."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from solera.checkpoints.ranges import MemorySource
from solera.errors import Fault, PlanError
from solera.execute.journal import ChunkKey
from solera.plan.budget_values import BudgetPlan
from solera.plan.tasks import Expr, LeafTask, Twins
from solera.types import DType

Look = tuple[int, int]
"""What a file looked like: bytes, time of the last change in whole seconds (what every file system keeps)."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What all work of one phase has in common.

    Attributes:
        run: the run's nonce. mark: file in the staging folder that holds it. boot: the coordinator's boot.
        software: what every worker must have. plugins, methods: how to find out.
        engine: fields of the `Engine` that all workers share. budget: of the plan. round, previous, fused: of a sweep.
    """

    run: str
    mark: str
    boot: str
    software: Mapping[str, str]
    plugins: Mapping[str, str]
    methods: tuple[str, ...]
    engine: Mapping[str, Any] = field(default_factory=dict)
    budget: BudgetPlan | None = None
    round: int = 0
    previous: Any = None
    fused: bool = False


@dataclass(frozen=True, slots=True)
class Fold:
    """Fold a task into a state of one step's summary."""

    task: LeafTask
    step: int


@dataclass(frozen=True, slots=True)
class Write:
    """Write chunks of an expression that begins at byte `offset` of a staged file; chunks are (key, start, stop)."""

    expr: Expr
    dtype: DType
    file: str
    offset: int
    chunks: tuple[tuple[ChunkKey, int, int], ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of the house that a worker met: its class by name, and its parts."""

    kind: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class Done:
    """What a worker gives back for a batch: the joined state of all folds, or (key, bytes, digest) of written chunks.

    `spent`: bytes of a budget. `looks`: what the input files looked like from that node. `ratios`: what kinship saw.
    """

    node: str
    results: tuple[Any, ...] = ()
    bytes_read: int = 0
    spent: int = 0
    looks: Mapping[str, Look] = field(default_factory=dict)
    ratios: Mapping[str, list[float]] = field(default_factory=dict)
    failure: Failure | None = None


class _Packer(pickle.Pickler):
    """Writes plans without tables of models, and never a model's tensor."""

    def reducer_override(self, value: Any) -> Any:
        """Spell twins out as their reads; refuse tensors held in memory."""
        if isinstance(value, Twins):
            return tuple, (list(value),)
        if isinstance(value, MemorySource):
            raise PlanError(
                "Tensors in this process's memory cannot be merged by other machines.",
                want="models in files that every node sees",
                fix="save the model to a folder first, or use the backend `threads`",
            )
        return NotImplemented


def packed(value: Any) -> bytes:
    """A value as bytes; arrays are copied into them, so what is read back can be written to.

    Raises:
        PlanError: a tensor held in memory is among the sources.

    Example:
        >>> unpacked(packed({"a": (1, 2.5)}))
        {'a': (1, 2.5)}
    """
    stream = io.BytesIO()
    _Packer(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return stream.getvalue()


def unpacked(data: bytes) -> Any:
    """The inverse of `packed`; only for bytes of the same run."""
    return pickle.loads(data)  # noqa: S301 - our own processes, on a cluster that runs code for us anyway
