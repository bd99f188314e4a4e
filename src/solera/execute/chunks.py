"""The chunks that output is written and journalled in."""

from __future__ import annotations

from collections.abc import Iterator

from solera.checkpoints.identity import hasher
from solera.checkpoints.writer import PositionedFile
from solera.execute.cutting import step_elements, units
from solera.execute.job import CHUNK, Job, Piece
from solera.execute.journal import boot_id
from solera.execute.makers import Maker
from solera.execute.places import Place
from solera.plan.tasks import Expr, Part
from solera.types import DType


def chunks_of(part: Part) -> list[tuple[int, int]]:
    """[start, stop) of every chunk of a part, in its own elements."""
    return list(units(part.expr, 0, part.expr.numel, CHUNK))


def missing(job: Job, piece: Piece) -> Iterator[int]:
    """Positions of the chunks of a piece that no earlier run has finished."""
    tensor = job.plan.outputs[piece[0]]
    part, trusted = tensor.parts[piece[1]], is_trusted(job)
    for c, (start, stop) in enumerate(chunks_of(part)):
        known = job.past.chunks.get((*piece, c))
        if known is None:
            yield c
        elif not trusted:
            size = tensor.dtype.itemsize
            at = job.places[tensor.name].offset + (part.start + start) * size
            if digest_on_disk(job.places[tensor.name], at, (stop - start) * size) != known[0]:
                yield c


def is_trusted(job: Job) -> bool:
    """Whether journalled chunks can be believed unread: the machine has not been rebooted since."""
    return bool(job.past.boot) and job.past.boot == boot_id()


def digest_on_disk(place: Place, offset: int, nbytes: int) -> str:
    """Digest of bytes that an earlier run has left."""
    assert isinstance(place.file, PositionedFile), "only files outlive a run"
    with place.file.path.open("rb") as file:
        file.seek(offset)
        return hasher().update(file.read(nbytes)).hexdigest()


def write_chunk(maker: Maker, expr: Expr, start: int, stop: int, dtype: DType, place: Place, block: int) -> str:
    """Make elements [start, stop) of an expression that begins at `place`, and write them; returns their digest."""
    digest = hasher()
    for low in range(start, stop, step := min(step_elements(expr, block), stop - start)):
        data = maker.write(low, min(stop, low + step), dtype)
        digest.update(data)
        place.file.write(place.offset + low * dtype.itemsize, data)
    return digest.hexdigest()
