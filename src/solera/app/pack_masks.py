"""Packs of masks: one vector for all tasks, and a bit for every entry and task (TALL masks, EMR-Merging)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solera.app.pack_files import SHARED, PartFile, copy_own, part_file, task_files
from solera.app.pack_plan import Family, Parts, Tensors, bits_spec, blocks, changed, read, vector_type
from solera.checkpoints.contract import ByteReader
from solera.errors import NonFinite
from solera.execute.kinship import FAR
from solera.ops.contract import Facts, Stack
from solera.ops.fold import spread, total
from solera.ops.masks import MeanOf, agrees, bits_of, largest_agreeing, magnitudes, rescaler, stands_out
from solera.types import DType, Event, TensorSpec

Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Masking:
    """What a method of masks does with a block of task vectors, (models, entries).

    `vector`: what all tasks share. `mask`: where a task takes it. `scale`: whether each task's model is rescaled.
    """

    vector: Callable[[Tensor], Tensor]
    mask: Callable[[Tensor, Tensor, int], Tensor]
    scale: MeanOf | None = None


def tall_masking(models: int, threshold: float | Sequence[float] = 0.4) -> Masking:
    """The sum of all task vectors; a task takes the entries where it stands out from the rest.

    Example:
        >>> values = torch.tensor([[0.4, -0.2], [0.25, 0.45]])
        >>> found = tall_masking(2, 1.0)
        >>> found.mask(values, found.vector(values), 0)
        tensor([ True, False])
    """
    bars = spread(threshold, models, name="threshold")
    return Masking(total, lambda values, vector, task: stands_out(values[task], vector, bars[task]))


def emr_masking(mean: MeanOf = "tensor") -> Masking:
    """The largest agreeing entries; a task takes those whose sign it shares, at its own scale."""
    return Masking(largest_agreeing, lambda values, _vector, task: agrees(values[task], values), mean)


@dataclass(slots=True)
class Masked:
    """What was written: entries that each task's mask takes, entries of its tensors, and its scale."""

    taken: list[int]
    entries: list[int]
    scales: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)
    base: float = 0.0

    def far(self) -> list[int]:
        """Places of experts whose task vector is nearly as long as the base: no fine-tunes of it."""
        return [k for k, square in enumerate(self.moved) if square > FAR**2 * self.base > 0]


def mask_parts(family: Family, tensors: Tensors, dtype: DType | None, reader: ByteReader, listener: Listener) -> Parts:
    """Which tensors each task changes, and so what the files will hold."""
    assert family.base is not None
    parts = Parts(tasks=[{} for _ in family.experts])
    for done, name in enumerate(tensors.common, 1):
        base = family.base.table[name]
        spec = base.spec
        for expert, specs in zip(family.experts, parts.tasks, strict=True):
            if changed(base, expert.table[name], reader):
                specs[f"bits/{name}"] = bits_spec(spec.shape)
                parts.vector[name] = TensorSpec(vector_type(dtype, spec), spec.shape)
        listener(Event("progress", "compare", done=done, total=len(tensors.common), unit="tensors"))
    return parts


def write_masks(
    folder: Path, family: Family, parts: Parts, own: Sequence[str], masking: Masking, reader: ByteReader,
    listener: Listener,
) -> Masked:  # fmt: skip
    """Write the shared vector and the tasks' files in one pass over the models.

    `parts`: what the files hold. `own`: whole tensors of the tasks.

    Cost: one pass; memory for a block of every model.
    """
    found = Masked([0] * len(family.experts), [0] * len(family.experts), moved=[0.0] * len(family.experts))
    sums = [magnitudes(task, masking.scale or "tensor") for task in range(len(family.experts))]
    states = [one.init(0, None) for one in sums]
    done, whole = 0, sum(spec.numel for spec in parts.vector.values())
    with ExitStack() as opened:
        vector = opened.enter_context(part_file(folder, SHARED, parts.vector))
        tasks = task_files(opened, folder, family, parts)
        for name in parts.vector:
            for start, values in _deltas(family, name, reader, found):
                shared = masking.vector(values)
                vector.write(name, shared, start)
                _write_bits(tasks, name, start, masking, values, shared, found)
                if masking.scale is not None:
                    facts = Facts(parts.vector[name].shape, start, name)
                    states = [one.add(s, Stack(values), facts) for one, s in zip(sums, states, strict=True)]
                done += shared.numel()
                listener(Event("progress", "masks", done=done, total=whole, unit="entries"))
        copy_own(tasks, family, own, reader)
    pairs = zip(sums, states, strict=True)
    found.scales = [1.0 if masking.scale is None else rescaler(one.finish(0, state)) for one, state in pairs]
    return found


def _deltas(family: Family, name: str, reader: ByteReader, found: Masked) -> Iterator[tuple[int, Tensor]]:
    """Task vectors of a tensor, block by block: (first entry, (models, entries))."""
    assert family.base is not None
    source = family.base.table[name]
    for start, stop in blocks(source.spec.numel):
        base = read(source, start, stop, reader)
        values = torch.stack([read(expert.table[name], start, stop, reader) - base for expert in family.experts])
        for expert, each in zip(family.experts, values, strict=True):
            if not bool(torch.isfinite(each).all()):
                what, fix = f"{name} holds a value that is not finite.", "repair that model, or its base"
                raise NonFinite(what, where=expert.ref, fix=fix)
        found.base += float(base.double().square().sum())
        found.moved = [a + b for a, b in zip(found.moved, values.double().square().sum(1).tolist(), strict=True)]
        yield start, values


def _write_bits(
    tasks: Sequence[PartFile], name: str, start: int, masking: Masking, values: Tensor, shared: Tensor, found: Masked
) -> None:
    for k, task in enumerate(tasks):
        if f"bits/{name}" in task.layout.specs:
            mask = masking.mask(values, shared, k)
            task.write(f"bits/{name}", bits_of(mask), start // 8)
            found.taken[k] += int(mask.sum())
            found.entries[k] += mask.numel()


def shares(found: Masked) -> list[dict[str, Any]]:
    """Share of the entries that each task's mask takes, and its scale."""
    rows = zip(found.taken, found.entries, found.scales, strict=True)
    return [{"taken": taken / entries if entries else 0.0, "scale": scale} for taken, entries, scale in rows]
