"""merge = check, plan, run, reconcile, commit, report: what the command line, services and Python all call."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from solera.app.report import MergeReport
from solera.checkpoints import FileReader, index_json, layout
from solera.checkpoints.remote.address import as_address
from solera.checkpoints.shards import ShardLayout
from solera.errors import Interrupted, NonFinite, SoleraError, SourceChanged
from solera.execute.artefacts import write_artefacts
from solera.execute.backends import check_backend, opened, shaped, workers_of
from solera.execute.job import Backend
from solera.execute.journal import Journal, Past, read_journal
from solera.execute.run import Outcome, execute
from solera.execute.staging import Staging, check_space, claimed, commit, discard, resumable
from solera.plan import plan
from solera.plan.cost import DEFAULT_MEMORY, Shape
from solera.plan.tasks import Plan
from solera.recipe import Recipe, digest
from solera.types import Event, TensorSpec
from solera.version import __version__

Listener = Callable[[Event], None]


def merge(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    force: bool = False,
    threads: int | None = None,
    memory: int | None = None,
    resume: bool = False,
    on_event: Callable[[Event], None] | None = None,
    backend: str = "threads",
    address: str | None = None,
    workers: int | None = None,
) -> MergeReport:
    """Merge models by a recipe into the folder (or to the address) `out`, all at once or not at all.

    Args:
        recipe: a `Recipe`, or the path of a recipe file (native or mergekit).
        out: target folder, or ``s3://bucket/prefix`` (``gs://``, ``az://``; extra `remote`). Must not exist
            or be empty, unless `force`; then it stays whole until the new one is ready.
        force: replace a target that is not empty.
        threads: workers; default the cores of this machine. The result does not depend on it.
        memory: bytes that the run, or each worker of a cluster, may hold above an idle process; default 512 MiB.
        resume: go on with a stopped run of the same plan; without it such a run's work is thrown away.
        on_event: receives progress events, from any thread.
        backend: who works: `threads`, `inline` (the caller's own thread), `cuda` (the method's steps on a graphics
            card) or `ray`. Only `cuda` may change the result, in last places.
        address: of a Ray cluster; default: the one that this process is in, or RAY_ADDRESS, or one that is started.
        workers: cores of the cluster that work at once; default all.

    Returns:
        What was done: counts, bytes, digest, warnings.

    Raises:
        SoleraError: see `solera.errors`; the target is then as it was before.
    """
    began = time.monotonic()
    listener: Listener = on_event or (lambda _event: None)
    check_backend(backend, threads=threads, address=address, workers=workers)
    count = workers_of(backend, threads)
    listener(Event("started", "plan"))
    if place := as_address(out):
        from solera.app.uploading_target import check_address

        check_address(place, backend)
    planned = plan(recipe, memory=memory, threads=count)
    for warning in planned.warnings:
        listener(Event("warning", "plan", warning))
    shape = shaped(backend, planned.outputs, memory or DEFAULT_MEMORY, count)
    if place:
        from solera.app.uploading import upload_merge

        with opened(backend, count) as crew:
            report = upload_merge(planned, place, shape, crew, listener, force=force, resume=resume, began=began)
        return _told(planned, report, listener)
    if resume and (finished := already_made(planned, Path(out), began)):
        return finished
    with claimed(Path(out), force=force, keep=_needed(planned)) as staging:
        try:
            with opened(backend, count, address=address, workers=workers) as crew:
                report = _run(planned, staging, shape, crew, listener, resume=resume, began=began)
        except (NonFinite, SourceChanged):
            discard(staging)  # other inputs make another plan, which could not go on from here
            raise
        except (SoleraError, OSError):
            if resumable(staging):
                listener(Event("warning", "staging", f"what was finished is kept in {staging.root} for --resume"))
            raise
        commit(staging)
    return _told(planned, report, listener)


def _told(planned: Plan, report: MergeReport, listener: Listener) -> MergeReport:
    """Record a finished merge, and say so."""
    from solera.app.recording import record  # only now: the first byte does not wait for what comes after the last

    record(planned, report, listener)
    listener(Event("finished", "merge", str(report.out), data=report.to_json()))
    return report


def _needed(planned: Plan) -> tuple[Path, ...]:
    """Folders and files that the run reads: none of them may be replaced by its output."""
    folders = [c.folder for c in planned.models.values() if c.folder is not None]
    recipe = Path(planned.recipe.source)
    return (*folders, *([recipe] if planned.recipe.source and recipe.is_file() else []))


def already_made(planned: Plan, out: Path, began: float) -> MergeReport | None:
    """The report of a target that this very plan has made before; None when it is something else."""
    from solera.reconcile import MANIFEST

    try:
        made = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        if made["plan"] != planned.digest:
            return None
        counts, digest = dict(Counter(row["status"] for row in made["tensors"].values())), str(made["result"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    note = "the target was complete; nothing was done"
    files = tuple(sorted(p.name for p in out.iterdir()))
    return MergeReport(out.absolute(), counts, 0, 0, 0, time.monotonic() - began, digest, 0, (note,), files=files)


def _run(
    planned: Plan, staging: Staging, shape: Shape, crew: Backend, listener: Listener, *, resume: bool, began: float
) -> MergeReport:
    past = read_journal(staging.journal, planned.digest) if resume else None
    if past is None:
        _empty(staging)
    shards = shards_of(planned)
    check_space(staging.target, sum(s.size for s in shards), present=_present(staging))
    journal = Journal(staging.journal, planned.digest, fresh=past is None)
    reader = FileReader()
    files = {staging.model / shard.file: shard for shard in shards}
    try:
        outcome = execute(planned, files, shape, reader, journal, past or Past(), listener, crew)
        from solera.app.side import write_beside

        result = output_digest(planned, outcome)
        if len(shards) > 1:
            (staging.model / "model.safetensors.index.json").write_bytes(index_json(shards))
        left = write_artefacts(staging.model, outcome.artefacts)
        beside = write_beside(planned, staging.model, staging.target.name, outcome.chunks, result, left)
        notes = outcome.warnings + beside
    except KeyboardInterrupt:
        raise _interrupted(staging) from None
    finally:
        journal.close()
        reader.close()
    for note in notes:
        listener(Event("warning", "files", note))
    return report_of(planned, staging, outcome, result, notes, began)


def _empty(staging: Staging) -> None:
    """Throw away what an earlier run, which is not resumed, left in the staging folder."""
    for path in staging.model.rglob("*"):
        if path.is_file():
            path.unlink()


def _present(staging: Staging) -> int:
    return sum(p.stat().st_blocks * 512 for p in staging.model.rglob("*") if p.is_file())


def shards_of(planned: Plan) -> tuple[ShardLayout, ...]:
    """Where every output tensor of a plan lies in its files."""
    specs = {t.name: TensorSpec(t.dtype, t.shape) for t in planned.outputs}
    metadata = {
        "format": "pt",
        "solera": __version__,
        "solera_recipe": digest(planned.recipe),
        "solera_plan": planned.digest,
    }
    return layout(specs, planned.recipe.output.shard_bytes, metadata)


def _interrupted(staging: Staging) -> Interrupted:
    return Interrupted(
        "stopped; nothing at the target has changed.",
        where=staging.target,
        fix="run the same command with --resume to go on, or without it to start again",
    )


def output_digest(planned: Plan, outcome: Outcome) -> str:
    """Digest of all output tensors: names, types, shapes, chunk digests; threads and memory play no part."""
    hasher = hashlib.sha256()
    for tensor in planned.outputs:
        hasher.update(f"{tensor.name} {tensor.dtype.value} {tensor.shape}\n".encode())
        for nbytes, chunk in outcome.chunks[tensor.name]:
            hasher.update(f"{nbytes} {chunk}\n".encode())
    return hasher.hexdigest()


def report_of(
    planned: Plan, staging: Staging, outcome: Outcome, result: str, notes: tuple[str, ...], began: float
) -> MergeReport:
    """What a run did, as a value; the files are those that are staged now."""
    return MergeReport(
        out=staging.target,
        tensors=dict(Counter(t.status for t in planned.outputs)),
        bytes_read=outcome.bytes_read,
        bytes_written=outcome.bytes_written,
        passes=planned.cost.passes,
        seconds=time.monotonic() - began,
        digest=result,
        memory_bytes=planned.cost.memory_bytes,
        warnings=(*planned.warnings, *notes),
        left_out=planned.provenance,
        chunks_resumed=outcome.chunks_resumed,
        summaries_resumed=outcome.summaries_resumed,
        files=tuple(sorted(p.name for p in staging.model.iterdir())),
        maps=planned.maps,
        budget=outcome.budget,
    )
