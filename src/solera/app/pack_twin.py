"""Twin packs: a shared expert, and what each expert has beyond it, in thin factors (Twin-Merging).

Source: "Twin-Merging: Dynamic Integration of Modular Expertise in Model Merging" (arXiv:2406.15479), official code
LZY-the-boys/Twin-Merging, discriminative/twin_merge.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solera.app.pack_files import PartFile, copy_own, task_files
from solera.app.pack_plan import Family, Parts, Tensors, changed, vector_type
from solera.checkpoints.contract import ByteReader, Source
from solera.errors import BadParameter, NonFinite
from solera.ops.lowrank import decompose
from solera.types import DType, Event, TensorSpec

Listener = Callable[[Event], None]
Rank = float | int


@dataclass(frozen=True, slots=True)
class Form:
    """How a tensor's change is kept: as factors of a rank, or whole where those would take no less.

    `batch`: matrices in a stack, 1 where it is one matrix.
    """

    batch: tuple[int, ...]
    rows: int
    columns: int
    rank: int
    factored: bool


def checked_rank(rank: Any) -> Rank:
    """A share of the shorter side, in (0, 1), or a whole number from 1.

    Raises:
        BadParameter: neither.

    Example:
        >>> checked_rank(0.1), checked_rank(8), checked_rank("full")
        (0.1, 8, 1.0)
    """
    if rank == "full":
        return 1.0
    whole = isinstance(rank, int) and not isinstance(rank, bool) and rank >= 1
    if not whole and not (isinstance(rank, float) and 0 < rank <= 1):
        want = "a share in (0, 1), a whole number from 1, or full"
        raise BadParameter("`rank` is not usable.", got=rank, want=want)
    return rank  # type: ignore[no-any-return]


def form_of(shape: Sequence[int], rank: Rank) -> Form:
    """How the change of a tensor is kept. Kernels are matrices of (outputs, rest); three axes are a stack of matrices.

    Example:
        >>> form_of((768, 768), 0.1).rank, form_of((768,), 0.1).factored
        (76, False)
        >>> form_of((64, 1, 2, 2), 2)
        Form(batch=(), rows=64, columns=4, rank=2, factored=True)
    """
    if len(shape) < 2 or not math.prod(shape):
        return Form((), 1, math.prod(shape), 0, factored=False)
    batch = tuple(shape[:1]) if len(shape) == 3 else ()
    rows = shape[len(batch)]
    columns = math.prod(shape[len(batch) + 1 :])
    side = min(rows, columns)
    kept = max(1, int(rank * side)) if isinstance(rank, float) else min(rank, side)
    return Form(batch, rows, columns, kept, factored=kept * (rows + columns) < rows * columns)


def twin_parts(
    start: Mapping[str, Source], family: Family, tensors: Tensors, rank: Rank, dtype: DType | None,
    reader: ByteReader, listener: Listener,
) -> Parts:  # fmt: skip
    """What the tasks' files will hold: factors, or whole changes, of the tensors in which they leave the start."""
    parts = Parts(tasks=[{} for _ in family.experts])
    for done, name in enumerate(tensors.common, 1):
        spec, kind = start[name].spec, vector_type(dtype, start[name].spec)
        form = form_of(spec.shape, rank)
        for k, expert in enumerate(family.experts):
            if changed(start[name], expert.table[name], reader):
                parts.tasks[k] |= _specs(name, spec, kind, form)
        listener(Event("progress", "compare", done=done, total=len(tensors.common), unit="tensors"))
    return parts


def _specs(name: str, spec: TensorSpec, kind: DType, form: Form) -> dict[str, TensorSpec]:
    if not form.factored:
        return {f"delta/{name}": TensorSpec(kind, spec.shape)}
    left, right = (*form.batch, form.rows, form.rank), (*form.batch, form.rank, form.columns)
    return {f"left/{name}": TensorSpec(kind, left), f"right/{name}": TensorSpec(kind, right)}


def write_exclusives(
    folder: Path, start: Mapping[str, Source], family: Family, parts: Parts, rank: Rank, own: Sequence[str],
    reader: ByteReader, listener: Listener,
) -> list[dict[str, Any]]:  # fmt: skip
    """Write what each expert has beyond the start; returns the share of its norm that the ranks left out, by task.

    Cost: one pass over the models and one thin SVD for each matrix and task; memory for some copies of one tensor.
    """
    missed, whole = [0.0] * len(family.experts), [0.0] * len(family.experts)
    names = list(dict.fromkeys(key.partition("/")[2] for specs in parts.tasks for key in specs if key[:4] != "own/"))
    with ExitStack() as opened:
        tasks = task_files(opened, folder, family, parts)
        for done, name in enumerate(names, 1):
            for k, change in _changes(start[name], name, family, tasks, reader):
                left_out, norm = _write_change(tasks[k], name, change, form_of(change.shape, rank))
                missed[k], whole[k] = missed[k] + left_out, whole[k] + norm
            listener(Event("progress", "factors", done=done, total=len(names), unit="tensors"))
        copy_own(tasks, family, own, reader)
    return [{"error": math.sqrt(a / b) if b else 0.0} for a, b in zip(missed, whole, strict=True)]


def _changes(
    source: Source, name: str, family: Family, tasks: Sequence[PartFile], reader: ByteReader
) -> Iterator[tuple[int, Tensor]]:
    """What the experts have beyond the start in one tensor: (task, change in float32)."""
    shared = _whole(source, reader)
    for k, expert in enumerate(family.experts):
        if f"left/{name}" in tasks[k].layout.specs or f"delta/{name}" in tasks[k].layout.specs:
            change = _whole(expert.table[name], reader) - shared
            if not bool(torch.isfinite(change).all()):
                raise NonFinite(f"{name} holds a value that is not finite.", where=expert.ref, fix="repair that model")
            yield k, change


def _whole(source: Source, reader: ByteReader) -> Tensor:
    return source.read(reader, 0, source.spec.numel).to(torch.float32).reshape(source.spec.shape)


def _write_change(task: PartFile, name: str, change: Tensor, form: Form) -> tuple[float, float]:
    """Write factors or the change itself; returns the squared norms of what was left out and of the whole."""
    norm = float(change.double().square().sum())
    if not form.factored:
        task.write(f"delta/{name}", change)
        return 0.0, norm
    found = decompose(change.reshape(*form.batch, form.rows, form.columns), form.rank)
    roots = found.values.sqrt()
    task.write(f"left/{name}", found.left * roots.unsqueeze(-2))
    task.write(f"right/{name}", found.right * roots.unsqueeze(-1))
    return max(0.0, norm - float(found.values.double().square().sum())), norm
