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


def read_contents(pack: Pack) -> Contents:
    """Read all tensors of a pack, and check that they fit each other.

    Raises:
        CorruptFile: a file names what no pack has. MissingTensor, ShapeMismatch: the parts do not fit.
    """
    with FileReader() as reader:
        start = _read(table_of(pack, pack.start, reader), reader)
        vector = _read(table_of(pack, pack.vector, reader), reader) if pack.vector else {}
        tasks = [_added(pack, task.file, task.scale, reader) for task in pack.tasks]
    contents = Contents(start, vector, tasks)
    for task, added in zip(pack.tasks, tasks, strict=True):
        _check(contents, added, f"{pack.folder / task.file}")
    return contents


def _read(table: Mapping[str, Source], reader: FileReader) -> Tensors:
    return {n: s.read(reader, 0, s.spec.numel).reshape(s.spec.shape) for n, s in table.items()}


def _added(pack: Pack, file: str, scale: float, reader: FileReader) -> Added:
    added = Added(scale)
    for name, tensor in _read(table_of(pack, file, reader), reader).items():
        kind, _, rest = name.partition("/")
        if kind not in KINDS or not rest:
            raise CorruptFile("A tensor is of no kind that packs have.", where=pack.folder / file, got=name[:100])
        kept: Any = getattr(added, kind)
        kept[rest] = tensor
    return added


def _check(contents: Contents, added: Added, where: str) -> None:
    """Every change has a start of its shape, every mask a vector, every left factor a right one."""
    if odd := sorted(added.left.keys() ^ added.right.keys()):
        raise MissingTensor("A factor has no partner.", where=where, got=", ".join(odd)[:200])
    for name in (*added.bits, *added.left, *added.delta):
        if name not in contents.start or (name in added.bits and name not in contents.vector):
            raise MissingTensor("A task changes a tensor that the pack does not have.", where=where, got=name[:200])
        if not all(_fitting(contents, added, name)):
            got = [tuple(kind[name].shape) for kind in (added.bits, added.left, added.delta) if name in kind]
            want = tuple(contents.start[name].shape)
            raise ShapeMismatch(f"{name} has another shape.", where=where, got=got, want=want)


def _fitting(contents: Contents, added: Added, name: str) -> Iterator[bool]:
    """Whether what a task adds to a tensor has its shape."""
    shape = contents.start[name].shape
    if name in added.bits:
        bits = added.bits[name]
        yield contents.vector[name].shape == shape
        yield bits.dtype is torch.uint8 and tuple(bits.shape) == (bytes_for(shape.numel()),)
    if name in added.left:
        left, right = added.left[name].shape, added.right[name].shape
        yield len(left) > 1 and len(left) == len(right) and left[:-2] == right[:-2] and left[-1] == right[-2]
        yield left[:-1].numel() * right[-1] == shape.numel()
    if name in added.delta:
        yield added.delta[name].shape == shape
