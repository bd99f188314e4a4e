"""Task vectors as they reach their coefficients: one unit of one leaf at a time, read and prepared by the engine.

They are held in float32 as far as the memory allows; what does not fit is read and prepared anew at every step, and
never more than one unit of K vectors is widened at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from solera.checkpoints import FileReader
from solera.errors import PlanError
from solera.execute.cutting import units
from solera.execute.engine import Engine
from solera.execute.evaluate import LeafRun
from solera.ops.contract import Chain
from solera.ops.fold import weighted_total
from solera.plan.chains import chain_of
from solera.plan.tasks import LeafTask, Plan, PopulationStage
from solera.types import CELL

BLOCK = 4 * CELL


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Elements [start, start + n) of a leaf: vectors (models, n), the base's own values (n,)."""

    start: int
    vectors: Tensor
    base: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.vectors.nbytes + self.base.nbytes


@dataclass(eq=False)
class Vectors:
    """The task vectors of a plan.

    `room`: bytes that may be held. `held`: task -> units. `streamed`: bytes of a sweep that are read anew each time.
    """

    engine: Engine
    room: int
    device: str = "cpu"
    held: dict[int, list[Unit]] = field(default_factory=dict)
    streamed: int = 0
    _finished: dict[int, list[Any]] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, plan: Plan, room: int, device: str = "cpu") -> Vectors:
        """Open the models of a plan and take the whole-model summaries that come before the coefficients."""
        engine = Engine(FileReader(), plan.recipe.nonfinite == "keep", BLOCK, room)
        for stage in plan.stages:
            engine.populations[(stage.key, stage.step)] = _swept(engine, stage)
        return cls(engine, room, device)

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return sum(unit.nbytes for found in self.held.values() for unit in found)

    def units(self, task: LeafTask) -> Iterator[Unit]:
        """The units of a leaf, in order."""
        if id(task) in self.held:
            yield from self.held[id(task)]
            return
        nbytes = 4 * task.numel * (len(task.operands) + 1)
        keep: list[Unit] | None = [] if id(task) not in self._seen and nbytes <= self.room else None
        for unit in self._read(task):
            yield unit
            if keep is not None:
                keep.append(unit)
        if keep is not None:
            self.room -= nbytes
            self.held[id(task)] = keep
        elif id(task) not in self._seen:
            self._seen.add(id(task))
            self.streamed += nbytes

    def _read(self, task: LeafTask) -> Iterator[Unit]:
        chain, upto = chain_of(task.call), weighing(task)[0]
        run = LeafRun(self.engine, finished=self._finished)
        done = run.finish(task, upto)
        for start, stop in units(task, 0, task.numel, self.engine.block):
            stack = run.steps(task, chain, done, start, stop, upto)
            assert stack.base is not None
            vectors = stack.values.reshape(len(task.operands), -1)
            yield Unit(start, vectors.to(self.device), stack.base.reshape(-1).to(self.device))


def weighing(task: LeafTask) -> tuple[int, float]:
    """Where the coefficients come into a task's chain, and what the sum is multiplied by afterwards.

    Raises:
        PlanError: the chain is not linear in them.
    """
    chain = chain_of(task.call)
    names = [step.name for step in chain.steps]
    at = names.index("weigh") if "weigh" in names else -1
    if at < 0 or names[at + 1] != "add_models" or set(names[at + 2 :]) - {"scale_by"}:
        got = " + ".join(names)
        raise PlanError("The merge is not linear in its coefficients.", where=task.leaf, got=got)
    return at, _factor(chain, at + 2)


def _factor(chain: Chain, start: int) -> float:
    factor = 1.0
    for step in chain.steps[start:]:
        factor *= float(step.parameters["factor"])
    return factor


def _swept(engine: Engine, stage: PopulationStage) -> Any:
    """One whole-model summary, taken leaf by leaf."""
    summary = chain_of(stage.tasks[0].call).steps[stage.step].summary
    assert summary is not None
    result: Any = None
    for round_ in range(summary.rounds):
        state = summary.init(round_, result)
        for task in stage.tasks:
            state = summary.merge(state, LeafRun(engine).fold(task, stage.step, summary.init(round_, result)))
        result = summary.finish(round_, state)
    return result


@dataclass(frozen=True, slots=True)
class Span:
    """Elements [start, stop) of a leaf that share the coefficients of one group."""

    start: int
    stop: int
    group: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One leaf of a live tensor: its first element there, what makes it, which coefficients it has.

    `rounded`: the type that it will be written in. `factor`: what the sum is multiplied by.
    """

    start: int
    task: LeafTask
    spans: tuple[Span, ...]
    rounded: torch.dtype
    factor: float = 1.0

    def write(self, vectors: Vectors, weights: Sequence[Sequence[float]], out: Tensor) -> None:
        """Put base + sum of weight times vector into `out`, which is flat: the bits that a merge by recipe gives."""
        for unit, span, low, high in self._pieces(vectors):
            inside = slice(low - unit.start, high - unit.start)
            found = weighted_total(unit.vectors[:, inside], weights[span.group])
            found = unit.base[inside] + (found if self.factor == 1 else found * self.factor)
            out[self.start + low : self.start + high] = found.to(self.rounded)

    def slopes(self, vectors: Vectors, gradient: Tensor, out: Tensor) -> None:
        """Add <gradient, vector> to `out` (groups, models): the gradient of the coefficients."""
        for unit, span, low, high in self._pieces(vectors):
            inside = unit.vectors[:, low - unit.start : high - unit.start]
            slope = inside @ gradient[self.start + low : self.start + high].to(inside)
            out[span.group] += slope.to(out) * self.factor

    def _pieces(self, vectors: Vectors) -> Iterator[tuple[Unit, Span, int, int]]:
        """Units cut where the coefficients change."""
        for unit in vectors.units(self.task):
            stop = unit.start + unit.base.numel()
            for span in self.spans:
                low, high = max(unit.start, span.start), min(stop, span.stop)
                if low < high:
                    yield unit, span, low, high
