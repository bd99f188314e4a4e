"""Run a plan: sweep its whole-model summaries, then write every chunk of every tensor, with a journal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solera.checkpoints.contract import ByteReader
from solera.checkpoints.shards import ShardLayout
from solera.checkpoints.writer import open_for_writing
from solera.execute.announcing import announce
from solera.execute.artefacts import Artefact, emitted
from solera.execute.budget import spent, under_budget
from solera.execute.engine import Engine
from solera.execute.job import Backend, Job, Listener, Piece, Progress
from solera.execute.journal import Journal, Past
from solera.execute.local import Threads
from solera.execute.places import Place, Record
from solera.execute.sweeping import sweep
from solera.plan.cost import Shape
from solera.plan.tasks import Plan
from solera.types import Event

LONG = 32
"""A piece of more than one in so many of all elements is not left for the end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did: digests of every chunk in order, by output tensor; bytes read; chunks taken from the journal.

    `artefacts`: what the steps of the written model leave behind beside it. `budget`: what was spent of one.
    """

    chunks: Mapping[str, tuple[tuple[int, str], ...]]
    bytes_read: int
    bytes_written: int
    chunks_resumed: int
    summaries_resumed: int
    warnings: tuple[str, ...] = ()
    artefacts: tuple[Artefact, ...] = ()
    budget: Mapping[str, Any] | None = None


def execute(
    plan: Plan,
    shards: Mapping[Path, ShardLayout],
    shape: Shape,
    reader: ByteReader,
    journal: Journal,
    past: Past,
    listener: Listener,
    backend: Backend | None = None,
) -> Outcome:
    """Write all output tensors into their files.

    Args:
        plan: what to make.
        shards: output file -> its layout; files are made at full size, old content is kept.
        shape: block size, hold cap and workers.
        reader: reads and counts bytes.
        journal: records what is finished.
        past: what an earlier run finished.
        listener: receives progress events.
        backend: who does the work; None for as many threads as the shape says.

    Raises:
        NonFinite, SourceChanged, NoSpace, Interrupted: the run stops; the staging folder can be resumed.
    """
    with ExitStack() as opened:
        return execute_into(_places(shards, opened), plan, shape, reader, journal, past, listener, backend)


def execute_into(
    places: Mapping[str, Place],
    plan: Plan,
    shape: Shape,
    reader: ByteReader,
    journal: Record,
    past: Past,
    listener: Listener,
    backend: Backend | None = None,
) -> Outcome:
    """Write all output tensors where `places` says; otherwise as `execute`."""
    crew = backend or Threads(shape.threads)
    engine = Engine(reader, plan.recipe.nonfinite == "keep", shape.block, shape.hold_bytes, device=crew.device)
    engine = under_budget(engine, plan.budget, backend)
    with _library_threads_restored():
        job = Job(plan, engine, places, journal, past, crew)
        return _write_all(job, listener, _sweep_all(job, listener))


@contextmanager
def _library_threads_restored() -> Iterator[None]:
    """Give torch its threads back afterwards: stepped leaves keep it to one."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    try:
        yield
    finally:
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(before or os.cpu_count() or 1)


def _places(shards: Mapping[Path, ShardLayout], opened: ExitStack) -> dict[str, Place]:
    """Open every output file, write its header, and say where each tensor goes."""
    places: dict[str, Place] = {}
    for path, shard in shards.items():
        file = opened.enter_context(open_for_writing(path, shard.size))
        file.write(0, shard.header)
        places |= {name: Place(file, offset) for name, offset in shard.offsets.items()}
    return places


def _sweep_all(job: Job, listener: Listener) -> int:
    """Take the whole-model summaries, or find them in the journal."""
    resumed = 0
    for number, stage in enumerate(job.plan.stages):
        key = (stage.key, stage.step)
        if (number, stage.rounds) in job.past.summaries:
            job.engine.populations[key] = job.past.summaries[(number, stage.rounds)]
            resumed += 1
            continue
        listener(
            Event("started", f"summary {number + 1} of {len(job.plan.stages)}", f"over {len(stage.tasks)} tensors")
        )
        job.engine.populations[key] = sweep(job, stage, listener)
        job.journal.summary(number, stage.rounds, job.engine.populations[key])
    return resumed


def _in_turn(job: Job) -> list[Piece]:
    """All pieces as they lie in the files; but first those that would keep one worker busy when the others are done.

    Targets that want their bytes in order get them in order.
    """
    outputs = job.plan.outputs
    pieces = [(i, j) for i, tensor in enumerate(outputs) for j in range(len(tensor.parts))]
    if any(place.file.in_order for place in job.places.values()):
        return pieces
    most = sum(tensor.numel for tensor in outputs) / LONG
    return sorted(pieces, key=lambda piece: outputs[piece[0]].parts[piece[1]].expr.numel <= most)


def _write_all(job: Job, listener: Listener, resumed: int) -> Outcome:
    total = sum(t.numel * t.dtype.itemsize for t in job.plan.outputs)
    progress = Progress(listener, total, "write")
    pieces = _in_turn(job)
    announce(job.engine.reader, job.plan, (job.plan.outputs[i].parts[j].expr for i, j in pieces))
    done = sorted(row for rows in job.backend.rows(job, pieces, progress) for row in rows)
    digests: dict[str, list[tuple[int, str]]] = {t.name: [] for t in job.plan.outputs}
    for (i, _, _), nbytes, digest, _ in done:
        digests[job.plan.outputs[i].name].append((nbytes, digest))
    return Outcome(
        chunks={name: tuple(rows) for name, rows in digests.items()},
        bytes_read=job.engine.reader.bytes_read + job.backend.bytes_read,
        bytes_written=sum(n for _, n, _, old in done if not old),
        chunks_resumed=sum(old for *_, old in done),
        summaries_resumed=resumed,
        warnings=(*job.engine.kinship.warnings(), *job.backend.notes),
        artefacts=emitted(job.plan, job.engine.populations),
        budget=spent(job.engine, job.plan.budget, job.backend.bytes_read),
    )
