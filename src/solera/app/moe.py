"""moe_merge and moe_prune: a mixture of experts in, the same with fewer experts out, all at once or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from solera.app.moe_checking import ExpertMerge, asked_of, read_dtype
from solera.app.moe_report import ExpertReport
from solera.app.moe_statistics import measured_of
from solera.app.moe_writing import Making, sizes, specs_of, write_model
from solera.checkpoints import FileReader
from solera.checkpoints.contract import ByteReader, Checkpoint, Source
from solera.checkpoints.ranges import FileRange
from solera.errors import BadParameter
from solera.execute.artefacts import Artefact
from solera.execute.staging import Staging
from solera.methods.moe.cards import Verb, expert_card
from solera.methods.moe.contract import ExpertMethod, Grouping
from solera.methods.moe.layout import ExpertModel
from solera.methods.moe.ordering import orders_for
from solera.methods.moe.view import reduced
from solera.types import DType, Event

if TYPE_CHECKING:
    from torch import Tensor

    from solera.checkpoints.statistics import Statistics

Listener = Callable[[Event], None]


def moe_merge(
    wanted: ExpertMerge,
    out: str | Path,
    *,
    force: bool = False,
    dry_run: bool = False,
    on_event: Listener | None = None,
) -> ExpertReport:
    """Merge the experts of every layer into fewer, in groups that a method finds.

    Args:
        wanted: model, method, how many experts.
        out: target folder; must not exist or be empty, unless `force`.
        force: replace a target that is not empty.
        dry_run: find the groups, and write nothing.
        on_event: receives progress events.

    Cost: one read of the model, and of merged experts once more where neurons are put in order. Memory: the matrices of
        one group, and blocks.

    Raises:
        SoleraError: see `solera.errors`; the target is then as it was before.
    """
    return _reduce(wanted, "merge", Path(out), force=force, dry_run=dry_run, listener=on_event or _silent)


def moe_prune(
    wanted: ExpertMerge,
    out: str | Path,
    *,
    force: bool = False,
    dry_run: bool = False,
    on_event: Listener | None = None,
) -> ExpertReport:
    """Leave out experts of every layer, as a method scores them; arguments and errors as `moe_merge`."""
    if wanted.rows == "every":
        raise BadParameter(
            "`router` is not usable.", got="every", want="mean or leader: an expert left out has no slot"
        )
    return _reduce(wanted, "prune", Path(out), force=force, dry_run=dry_run, listener=on_event or _silent)


def _silent(event: Event) -> None:
    del event


@dataclass(frozen=True, slots=True)
class _Work:
    """Everything opened, checked and grouped."""

    wanted: ExpertMerge
    model: Checkpoint
    experts: ExpertModel
    method: ExpertMethod
    grouping: Grouping
    files: tuple[Statistics, ...]
    top: int


def _reduce(
    wanted: ExpertMerge, verb: Verb, out: Path, *, force: bool, dry_run: bool, listener: Listener
) -> ExpertReport:
    began = time.monotonic()
    with FileReader() as reader:
        work = _prepared(wanted, verb, reader)
        for note in work.model.notes:
            listener(Event("warning", "model", note))
        orders: Mapping[tuple[str, int], Tensor] = {}
        if work.method.align == "neurons" and not dry_run:
            orders = orders_for(work.model, work.experts, work.grouping, reader, _telling(listener))
    view = _patched(work, reduced(work.model, work.experts, work.grouping, rows=wanted.rows, orders=orders))
    making = _making(work, verb, view, orders)
    report = _report(work, view, making, Staging.beside(out).target, len(orders), began)
    if dry_run:
        return replace(report, written=False)
    digest, notes = write_model(making, out, force=force, listener=listener)
    report = replace(report, digest=digest, warnings=notes, seconds=time.monotonic() - began)
    listener(Event("finished", "experts", str(report.out), data=report.to_json()))
    return report


def _telling(listener: Listener) -> Callable[[int, int], None]:
    return lambda done, total: listener(Event("progress", "neurons", done=done, total=total, unit="experts"))


def _prepared(wanted: ExpertMerge, verb: Verb, reader: ByteReader) -> _Work:
    """Open everything, check that it fits, find the groups."""
    asked = asked_of(wanted, verb)
    kinds = asked.method.statistics
    seen, files = measured_of(asked.model, asked.experts, wanted.statistics, kinds, reader)
    grouping = asked.method.group(seen, asked.count)
    return _Work(wanted, asked.model, asked.experts, asked.method, grouping, files, asked.top)


def _patched(work: _Work, view: Checkpoint) -> Checkpoint:
    top = {} if work.wanted.top_k is None else dict.fromkeys(work.experts.top_keys, work.top)
    return replace(view, config_patch={**view.config_patch, **top})


def _making(work: _Work, verb: Verb, view: Checkpoint, orders: Mapping[tuple[str, int], Tensor]) -> Making:
    card, wanted = expert_card(work.wanted.method), work.wanted
    status = "merged" if verb == "merge" else "pruned"
    own = work.model.table
    made = {name: status for name, source in view.table.items() if not _same(source, own[name])}
    facts = {
        "parameters": dict(wanted.parameters), "experts": [work.experts.experts, wanted.experts], "rows": wanted.rows,
        "top_k": work.top, "groups": {str(k): [list(g) for g in v] for k, v in _members(work).items()},
        "statistics": [{**asdict(file.manifest), "sites": {}} for file in work.files],
    }  # fmt: skip
    values = {f"{router}#{expert}": order for (router, expert), order in orders.items()}
    artefacts = (Artefact("neurons", values, wanted.method, {}),) if values else ()
    return Making(
        view, {wanted.model: work.model}, wanted.method, card.summary, card.paper.removeprefix("arXiv:"), facts, made,
        artefacts, dtype=read_dtype(wanted.dtype),
    )  # fmt: skip


def _same(source: Source, other: Source) -> bool:
    """Whether a source of the output is a range of the model's files, at its own place."""
    return source is other or (isinstance(source, FileRange) and source == other)


def _members(work: _Work) -> dict[int, tuple[tuple[int, ...], ...]]:
    return {
        layer.layer: tuple(group.members for group in work.grouping[layer.router.name]) for layer in work.experts.layers
    }


def _report(work: _Work, view: Checkpoint, making: Making, out: Path, moved: int, began: float) -> ExpertReport:
    written = sum(spec.nbytes for spec in specs_of(making).values())
    keys = work.experts.count_keys
    after = int(view.config_patch[keys[0]])
    return ExpertReport(
        out, _title(work.wanted), (work.experts.experts, after), len(work.experts.layers), work.top, _members(work),
        work.wanted.rows, moved, written, written - _repeated(work, making.dtype), time.monotonic() - began,
    )  # fmt: skip


def _repeated(work: _Work, dtype: DType | None) -> int:
    """Bytes of experts that stand in more than one slot."""
    if work.wanted.rows != "every":
        return 0
    total = 0
    for layer in work.experts.layers:
        extra = sum(len(group.members) - 1 for group in work.grouping[layer.router.name])
        elements = sum(leaf.shape[0] * leaf.shape[1] for leaf in layer.experts[0])
        source = work.model.table[layer.experts[0][0].tensor]
        total += extra * elements * sizes([source], dtype) // source.spec.numel
    return total


def _title(wanted: ExpertMerge) -> str:
    said = ", ".join(f"{name}={value}" for name, value in wanted.parameters.items())
    return f"{wanted.method}({said})"
