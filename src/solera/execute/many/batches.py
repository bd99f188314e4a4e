"""Cutting a run's work into batches: big enough that sending them costs nothing, small enough to share out evenly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from solera.checkpoints.writer import PositionedFile
from solera.errors import PlanError
from solera.execute.chunks import chunks_of, missing
from solera.execute.job import Job, Piece, Sweep
from solera.execute.many.parcels import Fold, Write
from solera.plan.chains import work_of
from solera.plan.expressions import tasks_of
from solera.plan.tasks import Expr, Part, Read
from solera.types import TENSOR

LEAST, MOST = 4 << 20, 32 << 20
"""Elements of a batch."""
SHARES = 4
"""A batch is a worker's quarter of what remains: large ones first, and at the end nobody waits long for the last."""
ITEMS = 256
"""Leaves in a batch, at most."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Work that one worker does in one go; `elements` is its size."""

    items: tuple[Fold | Write, ...]
    elements: int


def writes(job: Job, pieces: Sequence[Piece], workers: int) -> list[Batch]:
    """All chunks that are still missing; the largest tensors come first, the rest in the order of the file."""
    todo = {piece: tuple(missing(job, piece)) for piece in pieces}
    total = sum(_elements(job.plan.outputs[i].parts[j], todo[i, j]) for i, j in pieces)
    size = _size(total, workers)
    items = [item for piece in pieces if todo[piece] for item in _pieces(job, piece, todo[piece], size // 2)]
    large = [(item, count) for item, count in items if count > size]
    rest = [(item, count) for item, count in items if count <= size]
    alone = [Batch((item,), count) for item, count in sorted(large, key=lambda row: -row[1])]
    return [*alone, *_batched(rest, workers)]


def folds(sweep: Sweep, workers: int) -> list[Batch]:
    """All tasks of a sweep, in their order."""
    tasks = sweep.stage.tasks
    return list(_batched([(Fold(task, sweep.stage.step), task.numel) for task in tasks], workers))


def staged_folder(job: Job) -> Path:
    """Folder of the staged files.

    Raises:
        PlanError: the output does not go to files.
    """
    files = {id(place.file): place.file for place in job.places.values()}
    for file in files.values():
        if isinstance(file, PositionedFile):
            return file.path.parent
    raise PlanError("The backend `ray` writes into files.", want="a target folder", fix="use the backend `threads`")


def _size(remaining: int, workers: int) -> int:
    return min(MOST, max(LEAST, remaining // (workers * SHARES)))


def _elements(part: Part, todo: Sequence[int]) -> int:
    chunks = chunks_of(part)
    return sum(chunks[c][1] - chunks[c][0] for c in todo)


def _pieces(job: Job, piece: Piece, todo: Sequence[int], size: int) -> Iterator[tuple[Write, int]]:
    """A piece as one item, or as several where no chunk needs what another one finds out."""
    tensor = job.plan.outputs[piece[0]]
    part, place, item = tensor.parts[piece[1]], job.places[tensor.name], tensor.dtype.itemsize
    assert isinstance(place.file, PositionedFile)
    offset, path = place.offset + part.start * item, str(place.file.path)
    chunks = chunks_of(part)
    for group in _groups([((*piece, c), *chunks[c]) for c in todo], size if _is_loose(part.expr) else None):
        count = sum(stop - start for _, start, stop in group)
        yield Write(part.expr, tensor.dtype, path, offset, tuple(group)), count


Chunk = tuple[tuple[int, int, int], int, int]


def _groups(chunks: Sequence[Chunk], size: int | None) -> Iterator[list[Chunk]]:
    group: list[Chunk] = []
    for chunk in chunks:
        group.append(chunk)
        if size is not None and sum(stop - start for _, start, stop in group) >= size:
            yield group
            group = []
    if group:
        yield group


def _is_loose(expr: Expr) -> bool:
    """Whether chunks can be made apart at no cost: nothing is taken over the tensor."""
    if isinstance(expr, Read):
        return True
    works = [work_of(task) for task in tasks_of(expr)]
    return all(work.tensor_rounds == 0 and work.grain is not TENSOR for work in works)


def _batched(items: Sequence[tuple[Fold | Write, int]], workers: int) -> Iterator[Batch]:
    held: list[Fold | Write] = []
    elements, remaining = 0, sum(count for _, count in items)
    for item, count in items:
        if held and (elements + count > _size(remaining, workers) or len(held) >= ITEMS):
            yield Batch(tuple(held), elements)
            remaining -= elements
            held, elements = [], 0
        held.append(item)
        elements += count
    if held:
        yield Batch(tuple(held), elements)


def kept_fields(job: Job) -> Mapping[str, object]:
    """Fields of the job's engine that workers share: all but what counts, looks and is overwritten."""
    return {name: getattr(job.engine, name) for name in job.engine.__dataclass_fields__ if name not in _OWN}


_OWN = ("reader", "kinship", "buffers", "windows", "budget")
