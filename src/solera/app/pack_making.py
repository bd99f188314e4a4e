"""pack_make: experts in, one pack out, all at once or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from solera.app.adapter_files import empty, float_type
from solera.app.pack_beside import write_index, write_page
from solera.app.pack_files import BASE, SHARED, task_file
from solera.app.pack_masks import Masking, emr_masking, mask_parts, shares, tall_masking, write_masks
from solera.app.pack_plan import Family, Parts, Tensors, inner_config, opened_family, sorted_tensors
from solera.app.pack_report import METHODS, Lessons, PackMake, PackReport
from solera.app.pack_routing import answers_of, teach
from solera.app.pack_start import foreseen_start, needed, starts_at_a_model, write_start
from solera.app.pack_twin import checked_rank, twin_parts, write_exclusives
from solera.checkpoints import FileReader
from solera.checkpoints.contract import Source
from solera.checkpoints.identity import digest_file
from solera.errors import BadParameter, MissingExtra, UnknownName, nearest
from solera.execute.staging import Staging, check_space, claimed, commit
from solera.inference.routed.index import Pack, RouterPart, TaskPart, Written
from solera.plan.tasks import Plan
from solera.types import DType, Event

Listener = Callable[[Event], None]
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Work:
    """A pack in the making."""

    wanted: PackMake
    family: Family
    tensors: Tensors
    config: Mapping[str, Any]
    dtype: DType | None
    planned: Plan | None
    listener: Listener
    notes: list[str] = field(default_factory=list)

    @property
    def twin(self) -> bool:
        """Whether the start is a shared expert, and there is no vector."""
        return self.wanted.method == "twin"


def pack_make(
    wanted: PackMake,
    out: str | Path,
    *,
    lessons: Lessons | None = None,
    force: bool = False,
    dry_run: bool = False,
    on_event: Listener | None = None,
) -> PackReport:
    """Pack experts into the folder `out`, from which transformers loads them as one model.

    Args:
        wanted: experts, base, method.
        out: target folder; must not exist or be empty, unless `force`.
        lessons: inputs of every task, in the order of the experts: a router is trained on them. They say, too, which
            logits answer, where tasks share a head.
        force: replace a target that is not empty.
        dry_run: check what headers show, and say how large the pack would be; write nothing.
        on_event: receives progress events.

    Cost: one or two passes over the models, in blocks; for `twin` a merge, and an SVD for each matrix and task; for a
        router one model in memory.

    Raises:
        SoleraError: see `solera.errors`; the target is then as it was before.
    """
    began, listener = time.monotonic(), on_event or (lambda _event: None)
    work, start = _prepared(wanted, listener)
    _check_lessons(lessons, work.family)
    notes = (*work.tensors.notes, *(note for model in work.family.experts for note in model.notes))
    for note in notes:
        listener(Event("warning", "models", note))
    with FileReader() as reader:
        if dry_run:
            return _foreseen(work, start, Path(out), notes, began)
        keep = needed(wanted, work.family, work.planned)
        with claimed(Path(out), force=force, keep=keep) as staging:
            empty(staging)
            check_space(staging.target, _most(work, start))
            pack, rows = _written(work, staging, reader)
            pack, notes = _routed(work, staging, pack, lessons, notes)
            report = _report(work, staging, pack, rows, notes, began)
            write_page(staging, pack, work.family, report, wanted)
            commit(staging)
    listener(Event("finished", "pack", str(report.out), data=report.to_json()))
    return report


def _prepared(wanted: PackMake, listener: Listener) -> tuple[_Work, Mapping[str, Any]]:
    """Open everything and check that it fits, from headers; the start's specs."""
    if wanted.method not in METHODS:
        raise UnknownName("There is no such pack.", got=wanted.method, fix=nearest(wanted.method, METHODS))
    if wanted.base is None and (wanted.method != "twin" or not starts_at_a_model(wanted)):
        raise BadParameter("The base is missing.", want="the model that the experts were tuned from", fix="--base")
    _check_parameters(wanted)
    family = opened_family(wanted.base, wanted.experts, wanted.names)
    start, planned = foreseen_start(wanted, family)
    tensors = sorted_tensors(start, family, wanted.own)
    config = inner_config(family, tensors, start)
    _check_architecture(config)
    return _Work(wanted, family, tensors, config, float_type(wanted.dtype), planned, listener), start


def _check_parameters(wanted: PackMake) -> None:
    known = {"tall_mask": {"threshold"}, "emr": {"mean"}}.get(wanted.method)
    for name in wanted.parameters:
        if known is not None and name not in known:
            raise UnknownName(f"`{wanted.method}` has no such parameter.", got=name, fix=nearest(name, known))
    if wanted.method == "twin":
        checked_rank(wanted.parameters.get("rank", 0.1))
    else:
        _masking(wanted)


def _check_architecture(config: Mapping[str, Any]) -> None:
    """Refuse what could not be loaded, where transformers is there to say so."""
    from solera.inference.routed.loading import known_class

    try:
        known_class(str(config["architectures"][0]), str(config["model_type"]))
    except MissingExtra:
        return


def _check_lessons(lessons: Lessons | None, family: Family) -> None:
    if lessons is not None and len(lessons) != len(family.experts):
        got, want = f"data of {len(lessons)}", f"of {len(family.experts)} tasks"
        raise BadParameter("Every task needs its own examples.", got=got, want=want)


def _masking(wanted: PackMake) -> Masking:
    if wanted.method == "emr":
        mean = wanted.parameters.get("mean", "tensor")
        if mean not in ("tensor", "element"):
            raise BadParameter("`mean` is not usable.", got=mean, want="tensor or element")
        return emr_masking(mean)
    threshold = wanted.parameters.get("threshold", 0.4)
    values = threshold if isinstance(threshold, (tuple, list)) else [threshold]
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and v >= 0 for v in values):
        want = "numbers from 0, one for all or for each task"
        raise BadParameter("`threshold` is not usable.", got=threshold, want=want)
    return tall_masking(len(wanted.experts), threshold)


def _written(work: _Work, staging: Staging, reader: FileReader) -> tuple[Pack, Rows]:
    """Write start, shared vector and tasks."""
    start = SHARED if work.twin else BASE
    table = write_start(staging, start, work.wanted, work.family, work.planned, reader, work.listener)
    rows = _exclusives(work, staging, table, reader) if work.twin else _masks(work, staging, reader)
    names = [start, *([] if work.twin else [SHARED]), *map(task_file, work.family.names)]
    config = json.loads(json.dumps(work.config))
    pack = Pack(
        folder=staging.model,
        method=work.wanted.method,
        start=start,
        start_role="shared" if work.twin else "base",
        vector=None if work.twin else SHARED,
        use="all" if work.twin else "one",
        tasks=tuple(_task(work, k, row) for k, row in enumerate(rows)),
        files={name: written(staging.model, name) for name in names},
        parameters=dict(work.wanted.parameters),
        experts=work.family.nbytes,
        architecture=str(config["architectures"][0]),
        config=config,
    )
    return pack, rows


def written(folder: Path, name: str) -> Written:
    """Bytes and digest of a file that is finished."""
    return Written((folder / name).stat().st_size, digest_file(folder / name))


def _task(work: _Work, place: int, row: Mapping[str, Any]) -> TaskPart:
    name, expert = work.family.names[place], work.family.experts[place]
    labels = _labels(expert.config)
    differs = labels != _labels(work.config)
    return TaskPart(name, task_file(name), row.get("scale", 1.0), labels=labels if differs else None)


def _labels(config: Mapping[str, Any]) -> dict[int, str]:
    """Class id -> name; transformers writes nothing where there are two without names."""
    named = config.get("id2label") or {0: "LABEL_0", 1: "LABEL_1"}
    return {int(key): str(value) for key, value in named.items()}


def _masks(work: _Work, staging: Staging, reader: FileReader) -> Rows:
    parts = _with_own(work, mask_parts(work.family, work.tensors, work.dtype, reader, work.listener))
    masking, own = _masking(work.wanted), work.tensors.own
    found = write_masks(staging.model, work.family, parts, own, masking, reader, work.listener)
    for k in found.far():
        work.notes.append(f"{work.family.names[k]} is far from the base: it looks tuned from another one")
        work.listener(Event("warning", "models", work.notes[-1]))
    return shares(found)


def _exclusives(work: _Work, staging: Staging, table: Mapping[str, Source], reader: FileReader) -> Rows:
    rank = checked_rank(work.wanted.parameters.get("rank", 0.1))
    parts = twin_parts(table, work.family, work.tensors, rank, work.dtype, reader, work.listener)
    parts, own = _with_own(work, parts), work.tensors.own
    return write_exclusives(staging.model, table, work.family, parts, rank, own, reader, work.listener)


def _with_own(work: _Work, parts: Parts) -> Parts:
    for expert, specs in zip(work.family.experts, parts.tasks, strict=True):
        specs |= {f"own/{name}": expert.specs[name] for name in work.tensors.own}
    return parts


def _routed(
    work: _Work, staging: Staging, pack: Pack, lessons: Lessons | None, notes: tuple[str, ...]
) -> tuple[Pack, tuple[str, ...]]:
    """Train a router if there are examples; write the index."""
    if lessons is not None:
        taught = teach(pack, lessons, work.wanted, work.listener)
        files = {**pack.files, taught.file: written(staging.model, taught.file)}
        answers = answers_of(lessons)
        tasks = tuple(replace(task, answers=said) for task, said in zip(pack.tasks, answers, strict=True))
        pack = replace(pack, router=taught, files=files, tasks=tasks)
        doubts = _doubts(taught, len(tasks))
        for text in doubts:
            work.listener(Event("warning", "router", text))
        notes = (*notes, *doubts)
    write_index(staging, pack)
    return pack, notes


def _doubts(router: RouterPart, tasks: int) -> list[str]:
    if router.accuracy >= 0.9 or tasks == 1:
        return []
    share = f"{100 * router.accuracy:.0f} %"
    return [
        f"the router sends {share} of held-out inputs to their task: some look alike; give the task where it is known"
    ]


def _most(work: _Work, start: Mapping[str, Any]) -> int:
    """Bytes that the pack can take at most."""
    return int(_sizes(work, start)["total"])


def _sizes(work: _Work, start: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes that headers foretell: every common tensor changed in every task."""
    from solera.app.pack_sizes import foreseen

    return foreseen(work.wanted, work.family, work.tensors, start, work.dtype)


def _foreseen(work: _Work, start: Mapping[str, Any], out: Path, notes: tuple[str, ...], began: float) -> PackReport:
    return PackReport(
        out.absolute(), work.wanted.method, _sizes(work, start), {name: {} for name in work.family.names}, {},
        work.tensors.own, time.monotonic() - began, warnings=notes, written=False,
    )  # fmt: skip


def _report(work: _Work, staging: Staging, pack: Pack, rows: Rows, notes: tuple[str, ...], began: float) -> PackReport:
    router = {} if pack.router is None else {"samples": pack.router.samples, "accuracy": pack.router.accuracy}
    return PackReport(
        out=staging.target,
        method=pack.method,
        sizes=pack.sizes(),
        tasks=dict(zip(pack.names, rows, strict=True)),
        router=router,
        own=work.tensors.own,
        seconds=time.monotonic() - began,
        digest=digest_file(staging.model / "pack.json"),
        warnings=(*notes, *work.notes),
    )
