"""Expressions to numbers: one slice of one leaf at a time, with bounded memory.

The arithmetic is that of the chains; what lives here is slicing, widening, holding and folding. The same leaf gives
the same bits for every slicing, which the laws and the engine's tests hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import torch
from torch import Tensor

from solera.checkpoints.ranges import FileRange
from solera.errors import RunError
from solera.execute.cutting import row_elements, units
from solera.execute.engine import Engine
from solera.execute.faults import not_finite
from solera.execute.kinship import SAMPLE
from solera.ops.contract import Chain, Facts, Stack
from solera.plan.chains import chain_of, work_of
from solera.plan.expressions import reads_of, tasks_of
from solera.plan.tasks import Expr, LeafTask, Measured, Read
from solera.types import ROWS, TENSOR, Scope


@dataclass(eq=False)
class LeafRun:
    """What one worker keeps while it makes one leaf: held inputs, finished summaries, the last coarse tile."""

    engine: Engine
    held: dict[tuple[Any, ...], Tensor] = field(default_factory=dict)
    finished: dict[int, list[Any]] = field(default_factory=dict)
    tiles: dict[int, tuple[int, int, Tensor]] = field(default_factory=dict)
    vectors: dict[tuple[Any, ...], Tensor] = field(default_factory=dict)

    def values(self, expr: Expr, start: int, stop: int, compute: torch.dtype = torch.float32) -> Tensor:
        """Elements [start, stop) of an expression, one-dimensional, in the type they are computed in."""
        if isinstance(expr, Read):
            return self._read(expr, start, stop, compute)
        return self.merged(expr, start, stop).to(compute)

    def raw(self, read: Read, start: int, stop: int) -> Tensor:
        """Elements of a read in their own type, from what is held or from the file; on the engine's device."""
        held = self.held.get(_place(read)) if self.held else None
        if held is not None:
            return held[start:stop]
        return self._fetched(read, start, stop)

    def _fetched(self, read: Read, start: int, stop: int) -> Tensor:
        values = read.source.read(self.engine.reader, read.offset + start, read.offset + stop)
        return values if self.engine.device is None else values.to(self.engine.device)

    def _read(self, read: Read, start: int, stop: int, compute: torch.dtype) -> Tensor:
        values = self.raw(read, start, stop)
        if read.cast is not None:
            values = values.to(getattr(torch, read.cast.torch_name))
        values = values.to(compute)
        if not self.engine.keep_nonfinite and not bool(torch.isfinite(values).all()):
            index = int((~torch.isfinite(values)).nonzero()[0])
            raise not_finite(read, start + index, float(values[index]))
        return values

    def merged(self, task: LeafTask, start: int, stop: int) -> Tensor:
        """Elements [start, stop) of a task's result; computed on the unit its grain asks for, then cut."""
        low, high = widened(task, start, stop)
        if (low, high) == (start, stop):
            return self._unit(task, low, high)
        tile = self.tiles.get(id(task))
        if tile is None or tile[:2] != (low, high):
            tile = self.tiles[id(task)] = (low, high, self._unit(task, low, high))
        return tile[2][start - low : stop - low]

    def _unit(self, task: LeafTask, start: int, stop: int) -> Tensor:
        chain = chain_of(task.call)
        finished = self.finish(task)
        stack = self.steps(task, chain, finished, start, stop, len(chain.steps))
        if stack.models != 1:
            raise RunError(
                f"Method `{task.call.title}` does not end in one model.",
                where=task.leaf,
                got=f"{stack.models} operands after `{chain.steps[-1].name}`",
                want="a last step that reduces (stack.reduced)",
            )
        result = stack.values[0].reshape(-1)
        if task.delta and stack.base is not None:
            result = stack.base.reshape(-1) + result
        return result

    def steps(self, task: LeafTask, chain: Chain, finished: list[Any], start: int, stop: int, upto: int) -> Stack:
        """The stream of one unit as it reaches step `upto`."""
        stack = self._operands(task, start, stop)
        facts = self.facts(task, start, stop)
        for i, step in enumerate(chain.steps[:upto]):
            try:
                stack = step(stack, replace(facts, step=i, summary=finished[i]))
            except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
                raise _step_failed(task, step.name, error) from error
        return stack

    def facts(self, task: LeafTask, start: int, stop: int) -> Facts:
        """Facts of one unit, with the statistics that its method asked for."""
        facts = facts_of(task, start)
        if not task.measured:
            return facts
        found = {one.name: self._measured(task, one, start, stop) for one in task.measured}
        return replace(facts, statistics=found)

    def _measured(self, task: LeafTask, one: Measured, start: int, stop: int) -> Sequence[Tensor]:
        """A statistic of every model: cut like the unit, or whole and read when it is asked for."""
        compute = getattr(torch, task.compute.torch_name)
        if not one.sliced:
            return WholeReads(self, one.reads, compute)
        shape = unit_shape(task, stop - start)
        return [self.values(read, start, stop, compute).reshape(shape) for read in one.reads]

    def whole(self, read: Read, compute: torch.dtype) -> Tensor:
        """All of a statistic, in its own shape; vectors are kept, since every unit asks for them again."""
        key = _place(read)
        if key in self.vectors:
            return self.vectors[key]
        values = self.values(read, 0, read.numel, compute).reshape(read.shape)
        if len(read.shape) == 1:
            self.vectors[key] = values
        return values

    def _operands(self, task: LeafTask, start: int, stop: int) -> Stack:
        compute = getattr(torch, task.compute.torch_name)
        base = None if task.base is None else self.values(task.base, start, stop, compute)
        shape = unit_shape(task, stop - start)
        values = torch.empty((len(task.operands), stop - start), dtype=compute, device=self.engine.device)
        for k, operand in enumerate(task.operands):
            read = self.values(operand, start, stop, compute)
            if task.delta and base is not None:
                torch.sub(read, base, out=values[k])
            else:
                values[k] = read
        return Stack(values.reshape(len(task.operands), *shape), None if base is None else base.reshape(shape))

    def look(self, task: LeafTask) -> None:
        """Note how far the models of a task are from its base, on its first elements."""
        if task.delta and task.base is not None and task.numel >= SAMPLE:
            base, *values = (self.values(part, 0, SAMPLE).cpu().numpy() for part in (task.base, *task.operands))
            self.engine.kinship.look(task.models, values, base)

    def finish(self, task: LeafTask, upto: int | None = None) -> list[Any]:
        """Finished summaries of a task's steps, taking those over the tensor that are still missing."""
        chain = chain_of(task.call)
        done = self.finished.setdefault(id(task), [None] * len(chain.steps))
        for i in chain.summaries:
            if upto is not None and i >= upto:
                break
            if done[i] is None:
                done[i] = self._finish_step(task, chain, i)
        return done

    def _finish_step(self, task: LeafTask, chain: Chain, i: int) -> Any:
        summary = chain.steps[i].summary
        assert summary is not None
        if summary.scope is Scope.POPULATION:
            return self.engine.populations[(task.population, i)]
        result: Any = None
        for round_ in range(summary.rounds):
            state = self.fold(task, i, summary.init(round_, result))
            result = summary.finish(round_, state)
        return result

    def fold(self, task: LeafTask, i: int, state: Any) -> Any:
        """Fold all units of a task into the state of step i's summary."""
        chain = chain_of(task.call)
        summary = chain.steps[i].summary
        assert summary is not None
        done = self.finish(task, i)
        for start, stop in units(task, 0, task.numel, self.engine.block):
            stack = self.steps(task, chain, done, start, stop, i)
            state = summary.add(state, stack, replace(self.facts(task, start, stop), step=i))
        return state

    def hold(self, expr: Expr) -> None:
        """Read a leaf's inputs once and keep them, when they are needed again and fit the cap."""
        if isinstance(expr, Read) or not _needs_again(expr):
            return
        reads = {_place(r): r for r in reads_of(expr)}
        if sum(r.numel * r.source.spec.dtype.itemsize for r in reads.values()) <= self.engine.hold_bytes:
            for key, read in reads.items():
                self.held[key] = self._fetched(read, 0, read.numel)


@dataclass(frozen=True, slots=True, eq=False)
class WholeReads(Sequence[Tensor]):
    """Tensors that are read one at a time, when they are asked for, and not kept."""

    run: LeafRun
    reads: tuple[Read, ...]
    compute: torch.dtype

    def __len__(self) -> int:
        """How many there are."""
        return len(self.reads)

    @overload
    def __getitem__(self, k: int) -> Tensor: ...

    @overload
    def __getitem__(self, k: slice) -> list[Tensor]: ...

    def __getitem__(self, k: int | slice) -> Tensor | list[Tensor]:
        """Read the k-th."""
        if isinstance(k, slice):
            return [self.run.whole(read, self.compute) for read in self.reads[k]]
        return self.run.whole(self.reads[k], self.compute)


def _step_failed(task: LeafTask, step: str, error: Exception) -> RunError:
    """A step's own failure, with the place that only the engine knows."""
    return RunError(
        f"Method `{task.call.title}` failed in its step `{step}`.",
        where=f"{task.leaf}, shape {list(task.shape)}",
        got=f"{type(error).__name__}: {error}",
        fix=f"this is a fault of the method; its parameters were {dict(task.call.parameters)}",
    )


def _place(read: Read) -> tuple[Any, ...]:
    """Whose bytes a read takes: ranges of files are values, other sources live as long as their table."""
    source = read.source if isinstance(read.source, FileRange) else id(read.source)
    return source, read.offset, read.numel


def _needs_again(expr: Expr) -> bool:
    return any(work_of(task).tensor_rounds for task in tasks_of(expr))


def facts_of(task: LeafTask, start: int) -> Facts:
    """Facts of one unit of a task."""
    return Facts(
        shape=task.shape,
        start=start,
        leaf=task.leaf,
        role=task.role,
        layer=task.layer,
        models=task.models,
        out_axis=task.out_axis,
        in_axis=task.in_axis,
        seed=task.seed,
        layers=task.layers,
    )


def widened(task: LeafTask, start: int, stop: int) -> tuple[int, int]:
    """The smallest run of whole units of the task's grain that holds [start, stop)."""
    grain = work_of(task).grain
    if grain is TENSOR:
        return 0, task.numel
    if grain is ROWS:
        row = row_elements(task)
        return start // row * row, min(task.numel, -(-stop // row) * row)
    return start, stop


def unit_shape(task: LeafTask, count: int) -> tuple[int, ...]:
    """The shape in which a unit of `count` elements is given to the steps."""
    grain = work_of(task).grain
    if grain is TENSOR:
        return task.shape
    if grain is ROWS and len(task.shape) > 1:
        return (count // row_elements(task), row_elements(task))
    return (count,)
