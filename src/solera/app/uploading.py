"""merge into an object store: shards go up while others are made, and a conditional pointer goes last.

Shards are filled on this disk, at most two at a time, because workers write at any offset, and because a killed run
must find what it had made: a multipart upload in progress can do neither.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from solera.app.merging import already_made, output_digest, report_of, shards_of
from solera.app.report import MergeReport
from solera.app.side import write_beside
from solera.app.uploading_shards import ON_DISK, Sent, Uploads, opened_shards, still_good
from solera.app.uploading_target import Prefix, claim, publish, release
from solera.checkpoints import FileReader, index_json
from solera.checkpoints.remote.listing import INDEX
from solera.checkpoints.remote.snapshot import cache_root
from solera.checkpoints.shards import ShardLayout
from solera.errors import Interrupted, NonFinite, SoleraError, SourceChanged, TargetInUse
from solera.execute.artefacts import write_artefacts
from solera.execute.journal import Journal, Past, read_journal
from solera.execute.places import Place
from solera.execute.run import Outcome, execute_into
from solera.execute.staging import Staging, check_space, claimed, discard, resumable
from solera.plan.cost import Shape
from solera.plan.tasks import Plan
from solera.reconcile import MANIFEST
from solera.types import Event

if TYPE_CHECKING:
    from solera.execute.job import Backend

Listener = Callable[[Event], None]
_RUN, _SENT = "run", "sent.jsonl"


def upload_merge(
    planned: Plan,
    address: str,
    shape: Shape,
    crew: Backend,
    listener: Listener,
    *,
    force: bool,
    resume: bool,
    began: float,
) -> MergeReport:
    """Run a plan into a prefix of an object store.

    Args:
        planned: what to make.
        address: ``s3://bucket/prefix``, ``gs://…``, ``az://…``, without secrets.
        shape: block size, hold cap and workers.
        crew: who does the work; workers of this machine.
        listener: receives progress events.
        force: replace a model that is there, and take over from a writer that is dead.
        resume: go on with a stopped run of this machine: shards that arrived are not made again.
        began: `time.monotonic()` at the start.

    Raises:
        TargetInUse: something is there, or another run writes it. SoleraError: the model that was there still is.
    """
    prefix = Prefix.at(address)
    _check_inputs(planned, address)
    if resume and (made := _made_before(planned, prefix, began)):
        return made
    with _here(address) as staging:
        run, past = _begin(planned, prefix, staging, force=force, resume=resume)
        try:
            report = _run(planned, prefix, run, staging, shape, crew, past, listener, began)
            notes = publish(prefix, run, staging.model, report.files)
        except (NonFinite, SourceChanged, TargetInUse):
            discard(staging)
            release(prefix, run)
            raise
        except SoleraError:
            if resumable(staging):
                listener(Event("warning", "staging", f"what was finished is kept in {staging.root} for --resume"))
            else:
                release(prefix, run)
            raise
        files = (
            *report.files,
            *(p.relative_to(staging.model).as_posix() for p in staging.model.rglob("*") if p.is_file()),
        )
        discard(staging)
    return replace(report, warnings=(*report.warnings, *notes), files=tuple(sorted(files)))


@contextmanager
def _here(address: str) -> Iterator[Staging]:
    """The staging folder of an address on this machine, and its lock."""
    place = staging_place(address)
    with ExitStack() as held:
        try:
            staging = held.enter_context(claimed(place, force=True))
        except TargetInUse as error:
            raise TargetInUse.of(replace(error.fault, where=address)) from None
        yield staging


def staging_place(address: str) -> Path:
    """Where work for an address is done on this machine; SOLERA_CACHE chooses the disk."""
    place = cache_root().parent / "uploads" / hashlib.sha256(address.encode()).hexdigest()[:16]
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _check_inputs(planned: Plan, address: str) -> None:
    """The target must be none of the inputs."""
    for label, opened in planned.models.items():
        if opened.ref.path.rstrip("/") == address.rstrip("/"):
            raise TargetInUse(
                "the target is an input of this run.", where=address, got=label, fix="choose another target"
            )


def _made_before(planned: Plan, prefix: Prefix, began: float) -> MergeReport | None:
    """The report of a target that this very plan has made, pointer included."""
    data = prefix.read(MANIFEST)
    if data is None or prefix.read(INDEX) is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, MANIFEST).write_bytes(data)
        made = already_made(planned, Path(folder), began)
    return None if made is None else replace(made, out=prefix.address, files=tuple(sorted(prefix.entries())))


def _begin(planned: Plan, prefix: Prefix, staging: Staging, *, force: bool, resume: bool) -> tuple[str, Past | None]:
    """Claim the prefix, under the id of the run that is resumed, or a new one: (id, what that run had finished)."""
    note = staging.root / _RUN
    old = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
    past = read_journal(staging.journal, planned.digest) if resume and old else None
    run = old if past is not None else secrets.token_hex(4)
    said = {
        "plan": planned.digest,
        "host": socket.gethostname(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    claim(prefix, run, said, force=force, mine=[old] if old else [])
    if past is None:
        for path in (*staging.model.rglob("*"), staging.root / _SENT):
            path.unlink() if path.is_file() else None
    note.write_text(run, encoding="utf-8")
    return run, past


def _run(
    planned: Plan,
    prefix: Prefix,
    run: str,
    staging: Staging,
    shape: Shape,
    crew: Backend,
    past: Past | None,
    listener: Listener,
    began: float,
) -> MergeReport:
    shards = _named(shards_of(planned), run)
    check_space(staging.root, sum(sorted((s.size for s in shards), reverse=True)[:ON_DISK]))
    sent = Sent(staging.root / _SENT)
    kept, arrived = still_good(planned, shards, past or Past(), sent, prefix, staging.model)
    journal, reader, uploads = (
        Journal(staging.journal, planned.digest, fresh=past is None),
        FileReader(),
        Uploads(prefix, sent),
    )
    try:
        files = opened_shards(planned, shards, kept, arrived, uploads, staging.model)
        places = {name: Place(files[name], shard.offsets[name]) for shard in shards for name in shard.specs}
        outcome = execute_into(places, planned, shape, reader, journal, kept, listener, crew)
        uploads.finish()
    except KeyboardInterrupt:
        raise _interrupted(prefix) from None
    finally:
        uploads.close()
        journal.close()
        reader.close()
    return _beside(planned, prefix, staging, shards, outcome, listener, began)


def _named(shards: tuple[ShardLayout, ...], run: str) -> tuple[ShardLayout, ...]:
    """Shards under names of this run: bytes do not depend on names."""
    count = len(shards)
    return tuple(replace(s, file=f"model-{run}-{i:05d}-of-{count:05d}.safetensors") for i, s in enumerate(shards, 1))


def _beside(
    planned: Plan,
    prefix: Prefix,
    staging: Staging,
    shards: tuple[ShardLayout, ...],
    outcome: Outcome,
    listener: Listener,
    began: float,
) -> MergeReport:
    """Make everything that stands beside the shards, here."""
    result = output_digest(planned, outcome)
    (staging.model / INDEX).write_bytes(index_json(shards))
    left = write_artefacts(staging.model, outcome.artefacts)
    title = prefix.address.rstrip("/").rpartition("/")[2]
    notes = outcome.warnings + write_beside(planned, staging.model, title, outcome.chunks, result, left)
    for note in notes:
        listener(Event("warning", "files", note))
    report = report_of(planned, staging, outcome, result, notes, began)
    return replace(report, out=prefix.address, files=tuple(shard.file for shard in shards))


def _interrupted(prefix: Prefix) -> Interrupted:
    return Interrupted(
        "stopped; no model has appeared at the target.", where=prefix.address,
        fix="run the same command with --resume to go on, or without it to start again",
    )  # fmt: skip
