"""What a pack holds, in memory: the start of all tasks, and what each task adds, still compressed.

A task's file names its tensors ``KIND/TENSOR``:

=======  ==========================================================================
bits     a mask over the shared vector, eight entries to a byte (`ops.masks.bits_of`)
left     with ``right``: two thin factors of a change; a stack of matrices is a stack
delta    a change as it is
own      the task's own tensor, which stands instead of the common one (heads)
=======  ==========================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from solera.checkpoints.contract import Source
from solera.checkpoints.reader import FileReader
from solera.errors import CorruptFile, MissingTensor, ShapeMismatch
from solera.inference.routed.index import Pack, table_of
from solera.ops.masks import bytes_for, mask_of
from solera.types import DType

KINDS = ("bits", "left", "right", "delta", "own")
Tensors = dict[str, Tensor]


@dataclass(eq=False)
class Added:
    """What one task adds, by kind and tensor."""

    scale: float = 1.0
    bits: Tensors = field(default_factory=dict)
    left: Tensors = field(default_factory=dict)
    right: Tensors = field(default_factory=dict)
    delta: Tensors = field(default_factory=dict)
    own: Tensors = field(default_factory=dict)

    def changes(self, name: str) -> bool:
        """Whether the task adds anything to a tensor that all tasks share."""
        return name in self.bits or name in self.left or name in self.delta

    def value(self, name: str, vector: Tensor | None, shape: Sequence[int]) -> Tensor:
        """What is added to one tensor, in float32."""
        if name in self.bits:
            assert vector is not None
            masked = torch.where(mask_of(self.bits[name], shape), vector.to(torch.float32), 0.0)
            return masked if self.scale == 1.0 else masked * self.scale
        if name in self.left:
            left, right = (side[name].to(torch.float32) for side in (self.left, self.right))
            return (left @ right).reshape(tuple(shape))
        return self.delta[name].to(torch.float32)


class Contents(nn.Module):
    """All tensors of a pack; they follow the module that holds them to another device."""

    def __init__(self, start: Tensors, vector: Tensors, tasks: Sequence[Added]) -> None:
        """Hold what was read; see `read_contents`."""
        super().__init__()
        self.start, self.vector, self.tasks = start, vector, tuple(tasks)

    def changed(self) -> tuple[str, ...]:
        """Tensors that some task changes, in the order of the start."""
        return tuple(name for name in self.start if any(task.changes(name) for task in self.tasks))

    def owned(self) -> tuple[str, ...]:
        """Tensors that tasks have of their own."""
        return tuple(dict.fromkeys(name for task in self.tasks for name in task.own))

    def merged(self, name: str, weights: Sequence[float]) -> Tensor:
        """Start + sum of weight x what the task adds, in float32; tasks left to right, those of weight 0 left out."""
        start = self.start[name]
        result, vector = start.to(torch.float32), self.vector.get(name)
        for weight, task in zip(weights, self.tasks, strict=True):
            if weight and task.changes(name):
                value = task.value(name, vector, start.shape)
                result = result + (value if weight == 1.0 else value * weight)
        return result

    def own(self, name: str, weights: Sequence[float]) -> Tensor | None:
        """The tensor that the likeliest task has of its own; without any weight the first task's."""
        place = max(range(len(weights)), key=lambda k: weights[k])
        return self.tasks[place].own.get(name)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Contents:
        for tensors in self._all():
            tensors.update({name: fn(tensor) for name, tensor in tensors.items()})
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _all(self) -> list[Tensors]:
        each = [[t.bits, t.left, t.right, t.delta, t.own] for t in self.tasks]
        return [self.start, self.vector, *(tensors for kinds in each for tensors in kinds)]


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the tensors of a pack are, from headers alone: of the start, of the vector, and of each task by kind."""

    start: Mapping[str, Source]
    vector: Mapping[str, Source]
    tasks: tuple[Mapping[str, Mapping[str, Source]], ...]


def tables_of(pack: Pack, reader: FileReader) -> Tables:
    """Read the headers of a pack, and check that its parts fit each other.

    Raises:
        CorruptFile: a file names what no pack has. MissingTensor, ShapeMismatch: the parts do not fit.
    """
    start = table_of(pack, pack.start, reader)
    vector = table_of(pack, pack.vector, reader) if pack.vector else {}
    tables = Tables(start, vector, tuple(_by_kind(pack, task.file, reader) for task in pack.tasks))
    for task, kinds in zip(pack.tasks, tables.tasks, strict=True):
        _check(tables, kinds, f"{pack.folder / task.file}")
    return tables


def read_contents(pack: Pack) -> Contents:
    """Read all tensors of a pack; see `tables_of`."""
    with FileReader() as reader:
        tables = tables_of(pack, reader)
        start, vector = (dict(read_table(table, reader)) for table in (tables.start, tables.vector))
        pairs = zip(pack.tasks, tables.tasks, strict=True)
        return Contents(start, vector, [_added(task.scale, kinds, reader) for task, kinds in pairs])


def rebuilt(tables: Tables, name: str, place: int, scale: float, reader: FileReader) -> Tensor:
    """One tensor of one task, as it is in the model that the pack rebuilds: float32 where the task changes it.

    Cost: memory for some copies of the tensor.
    """
    kinds = tables.tasks[place]
    only = [{key: table[key] for key in (name,) if key in table} for table in (tables.start, tables.vector)]
    if name in kinds["own"]:
        return dict(read_table({name: kinds["own"][name]}, reader))[name]
    start, vector = (dict(read_table(table, reader)) for table in only)
    added = _added(scale, {kind: {name: kinds[kind][name]} for kind in KINDS if name in kinds[kind]}, reader)
    return Contents(start, vector, [added]).merged(name, (1.0,)) if added.changes(name) else start[name]


def read_table(table: Mapping[str, Source], reader: FileReader) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a file, one after another."""
    return ((n, s.read(reader, 0, s.spec.numel).reshape(s.spec.shape)) for n, s in table.items())


def _added(scale: float, kinds: Mapping[str, Mapping[str, Source]], reader: FileReader) -> Added:
    read: dict[str, Any] = {kind: dict(read_table(table, reader)) for kind, table in kinds.items()}
    return Added(scale, **read)


def _by_kind(pack: Pack, file: str, reader: FileReader) -> Mapping[str, Mapping[str, Source]]:
    found: dict[str, dict[str, Source]] = {kind: {} for kind in KINDS}
    for name, source in table_of(pack, file, reader).items():
        kind, _, rest = name.partition("/")
        if kind not in KINDS or not rest:
            raise CorruptFile("A tensor is of no kind that packs have.", where=pack.folder / file, got=name[:100])
        found[kind][rest] = source
    return found


def _check(tables: Tables, kinds: Mapping[str, Mapping[str, Source]], where: str) -> None:
    """Every change has a start of its shape, every mask a vector, every left factor a right one; heads are whole."""
    if odd := sorted(kinds["left"].keys() ^ kinds["right"].keys()):
        raise MissingTensor("A factor has no partner.", where=where, got=", ".join(odd)[:200])
    for name in (*kinds["bits"], *kinds["left"], *kinds["delta"]):
        if name not in tables.start or (name in kinds["bits"] and name not in tables.vector):
            raise MissingTensor("A task changes a tensor that the pack does not have.", where=where, got=name[:200])
        if not all(_fitting(tables, kinds, name)):
            got = [kinds[kind][name].spec.shape for kind in ("bits", "left", "delta") if name in kinds[kind]]
            want = tables.start[name].spec.shape
            raise ShapeMismatch(f"{name} has another shape.", where=where, got=got, want=want)
    owned = {name for each in tables.tasks for name in each["own"]}
    if lacking := sorted(owned - kinds["own"].keys() - tables.start.keys()):
        raise MissingTensor("A task lacks a tensor that others have of their own.", where=where, got=lacking[0][:200])


def _fitting(tables: Tables, kinds: Mapping[str, Mapping[str, Source]], name: str) -> Iterator[bool]:
    """Whether what a task adds to a tensor has its shape."""
    shape = tables.start[name].spec.shape
    if name in kinds["bits"]:
        bits = kinds["bits"][name].spec
        yield tables.vector[name].spec.shape == shape
        yield bits.dtype is DType.U8 and bits.shape == (bytes_for(math.prod(shape)),)
    if name in kinds["left"]:
        left, right = kinds["left"][name].spec.shape, kinds["right"][name].spec.shape
        yield len(left) > 1 and len(left) == len(right) and left[:-2] == right[:-2] and left[-1] == right[-2]
        yield math.prod(left[:-1]) * right[-1] == math.prod(shape)
    if name in kinds["delta"]:
        yield kinds["delta"][name].spec.shape == shape
