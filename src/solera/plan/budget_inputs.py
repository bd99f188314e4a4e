"""What a budget has to choose from: every leaf that is read of a model other than the base, with its sketch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from solera.checkpoints.ranges import FileRange
from solera.checkpoints.sketch import LeafSketch, Place
from solera.plan.budget_choice import Unit
from solera.plan.budget_methods import importance
from solera.plan.chains import work_of
from solera.plan.tasks import LeafTask, OutputTensor, Read
from solera.types import CELL, ROWS, TENSOR

SketchOf = Callable[[str, str], Mapping[Place, LeafSketch]]
"""(label of a model, label of the base) -> the leaves of the sketch; none where no sketch is needed."""

OUTSIDE = -1
"""Group of leaves that lie in no layer."""


@dataclass(eq=False)
class Operand:
    """A leaf of a model against the base's: what is known, and the unit chosen from (None: it is read whole)."""

    read: Read
    base: Read
    sketch: LeafSketch | None
    unit: Unit | None


@dataclass(eq=False)
class Site:
    """A task, its base (of weights without one: the first model), and its operands but for nested merges."""

    task: LeafTask
    base: Read | None
    operands: list[Operand | None] = field(default_factory=list)


@dataclass(eq=False)
class Inputs:
    """All of it. `forced`: bytes that must be read, by group; `fixed`: files in which nothing can be left out."""

    sites: list[Site] = field(default_factory=list)
    units: dict[tuple[str, int], Unit] = field(default_factory=dict)
    origins: dict[tuple[str, int], tuple[Read, Read, LeafSketch]] = field(default_factory=dict)
    forced: dict[int, int] = field(default_factory=dict)
    why: dict[str, int] = field(default_factory=dict)
    base_bytes: int = 0
    bases: set[str] = field(default_factory=set)

    @property
    def total(self) -> int:
        """Bytes of one reading of everything but the base."""
        return sum(u.nbytes * u.times for u in self.units.values()) + sum(self.forced.values())


def collect(outputs: Sequence[OutputTensor], sketch_of: SketchOf, bases: frozenset[str]) -> Inputs:
    """Go through all parts of the output.

    Args:
        outputs: of the plan.
        sketch_of: gives the sketch of a model, or None where none is needed.
        bases: files whose reading is beside the budget.
    """
    found = Inputs(bases=set(bases))
    for part in (part for tensor in outputs for part in tensor.parts):
        _walk(found, part.expr, sketch_of, 1)
    _settle_conflicts(found)
    return found


def base_of(task: LeafTask) -> Read | None:
    """What stands in for what is not read: a task's base, or the first model where weights are merged without one."""
    if task.base is None and not task.delta:
        return task.operands[0] if isinstance(task.operands[0], Read) else None
    return task.base if isinstance(task.base, Read) else None


def base_files(outputs: Sequence[OutputTensor]) -> frozenset[str]:
    """Files of the bases of all tasks."""
    from solera.plan.expressions import tasks_of

    tasks = (task for tensor in outputs for part in tensor.parts for task in tasks_of(part.expr))
    reads = (base_of(task) for task in tasks)
    return frozenset(path for read in reads if read is not None for path in files_of(read.source))


def _walk(found: Inputs, expr: Any, sketch_of: SketchOf, grain: int) -> None:
    if isinstance(expr, Read):
        _count(found, expr, OUTSIDE, "tensors of other models that are copied")
        return
    base, grain = base_of(expr), max(grain, _granule(expr))
    site = Site(expr, base)
    found.sites.append(site)
    if isinstance(expr.base, LeafTask):
        _walk(found, expr.base, sketch_of, grain)
    elif expr.base is not None:
        found.base_bytes += expr.base.source.cost_bytes(expr.base.offset, expr.base.offset + expr.base.numel)
    worth = importance(expr.call, len(expr.operands), delta=expr.delta)
    for k, operand in enumerate(expr.operands):
        if isinstance(operand, LeafTask):
            _walk(found, operand, sketch_of, grain)
            site.operands.append(None)
        else:
            site.operands.append(_operand(found, expr, operand, base, sketch_of, worth[k] ** 2, grain))


def _granule(task: LeafTask) -> int:
    """Elements that are read together: blocks, whole rows in whole blocks, or the leaf."""
    grain = work_of(task).grain
    if grain is TENSOR:
        return max(1, task.numel)
    row = task.shape[-1] if grain is ROWS and len(task.shape) > 1 else 1
    return math.lcm(CELL, max(1, row))


def _operand(
    found: Inputs, task: LeafTask, read: Read, base: Read | None, sketch_of: SketchOf, worth: float, grain: int
) -> Operand:  # fmt: skip
    group = OUTSIDE if task.layer is None else task.layer
    if base is not None and _is_same(read, base):
        found.base_bytes += (
            0 if task.base is not None else read.source.cost_bytes(read.offset, read.offset + read.numel)
        )
        return Operand(read, base, None, None)
    known = None if base is None else sketch_of(read.model, base.model).get(_place(read, base))
    why = _why_whole(read, base, known)
    if why or base is None or known is None:
        _count(found, read, group, why)
        return Operand(read, base or read, known, None)
    return Operand(read, base, known, _unit(found, read, base, known, group, worth, grain))


def _is_same(read: Read, base: Read) -> bool:
    return read.source == base.source and read.offset == base.offset and read.numel == base.numel


def _place(read: Read, base: Read) -> Place:
    return read.name, read.offset, base.name, base.offset, read.numel


def _why_whole(read: Read, base: Read | None, known: LeafSketch | None) -> str:
    """Why a leaf must be read whole; "" where blocks of it may be left out."""
    if base is None:
        return "tensors without a base"
    if not isinstance(read.source, FileRange) or not isinstance(base.source, FileRange):
        return "tensors that are not plain ranges of files"
    if read.source.spec.dtype is not base.source.spec.dtype:
        return "tensors of another type than the base's"
    if read.cast is not None:
        return "tensors that are rounded as they are read"
    return "" if known is not None else "tensors that the sketch does not speak of"


def _unit(
    found: Inputs, read: Read, base: Read, known: LeafSketch, group: int, worth: float, grain: int
) -> Unit | None:  # fmt: skip
    size = read.source.spec.dtype.itemsize
    assert isinstance(read.source, FileRange)
    key = (read.source.path, read.source.offset + read.offset * size)
    unit = found.units.get(key)
    if unit is None:
        squares = known.squares.astype(np.float64)
        step = max(1, -(-min(grain, read.numel) // CELL))
        unit = Unit(group, read.numel * size, CELL * size, squares, squares * worth, step)
        found.units[key], found.origins[key] = unit, (read, base, known)
    else:
        unit.times += 1
        unit.worth = unit.worth + unit.squares * worth
        unit.step = math.lcm(unit.step, max(1, -(-min(grain, read.numel) // CELL)))
    return unit


def _count(found: Inputs, read: Read, group: int, why: str) -> None:
    """Charge a leaf that is read whole: what of it does not come from a base's file."""
    nbytes = own_bytes(read, found.bases)
    if nbytes == 0:
        found.base_bytes += read.source.cost_bytes(read.offset, read.offset + read.numel)
        return
    found.forced[group] = found.forced.get(group, 0) + nbytes
    found.why[why] = found.why.get(why, 0) + nbytes


def own_bytes(read: Read, bases: set[str] | frozenset[str]) -> int:
    """Bytes that a whole leaf takes from files that are no base's: of an adapter on the base, its factors."""
    ranges = list(ranges_of(read.source))
    if any(one.path in bases for one in ranges):
        return sum(one.spec.nbytes for one in ranges if one.path not in bases)
    return read.source.cost_bytes(read.offset, read.offset + read.numel)


def ranges_of(source: Any) -> Iterator[FileRange]:
    """The plain ranges of files that a source is made of."""
    if isinstance(source, FileRange):
        yield source
    elif isinstance(source, tuple | list):
        for one in source:
            yield from ranges_of(one)
    elif is_dataclass(source) and not isinstance(source, type):
        for each in fields(source):
            yield from ranges_of(getattr(source, each.name))


def files_of(source: Any) -> set[str]:
    """The files that a source reads."""
    found = {one.path for one in ranges_of(source)}
    path = getattr(source, "path", None)
    return found | ({path} if isinstance(path, str) else set())


def _settle_conflicts(found: Inputs) -> None:
    """A leaf whose file is also read through something else, or against two bases, is read whole."""
    through: set[str] = set()
    users: dict[int, list[Operand]] = {}
    for one in (one for site in found.sites for one in site.operands if one is not None):
        if one.unit is not None:
            users.setdefault(id(one.unit), []).append(one)
        elif not isinstance(one.read.source, FileRange):
            through |= files_of(one.read.source)
    for key in list(found.units):
        read, base, _ = found.origins[key]
        others = users[id(found.units[key])]
        if key[0] in through or any(not _is_same(o.base, base) for o in others):
            unit = found.units.pop(key)
            found.forced[unit.group] = found.forced.get(unit.group, 0) + unit.nbytes * unit.times
            why = f"tensors of {read.model} that are also read in another way"
            found.why[why] = found.why.get(why, 0) + unit.nbytes * unit.times
            for other in others:
                other.unit = None
