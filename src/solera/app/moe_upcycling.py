"""moe_upcycle: dense models in, a mixture of experts out, all at once or not at all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.app.moe_checking import read_dtype
from solera.app.moe_report import ExpertReport
from solera.app.moe_writing import Making, specs_of, write_model
from solera.checkpoints import open_checkpoint
from solera.checkpoints.reference import parse_ref
from solera.errors import BadParameter, ShapeMismatch
from solera.execute.staging import Staging, check_target
from solera.methods.moe.cards import build, expert_card
from solera.methods.moe.gates import degenerate, drawn
from solera.methods.moe.upcycle import Upcycling, family_of, mlps_of, upcycled
from solera.types import Event

if TYPE_CHECKING:
    from torch import Tensor

    from solera.checkpoints.contract import Checkpoint

Listener = Callable[[Event], None]
METHOD = "upcycle"


@dataclass(frozen=True, slots=True)
class Upcycle:
    """What to make a mixture of.

    Attributes:
        base: gives everything but the MLPs. experts: dense models of its family; the base itself may be one.
        parameters: see the card `upcycle`. top_k: experts that a token is sent to.
        rows: of the routers, (layers, experts, width), where the gate takes prompts: see `learn.statistics.prompts`.
        prompts: what they were made of, for the manifest. dtype: of the output; None leaves every tensor's own.
    """

    base: str
    experts: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    top_k: int = 2
    rows: Tensor | None = None
    prompts: tuple[Mapping[str, Any], ...] = ()
    dtype: str | None = None


def moe_upcycle(
    wanted: Upcycle, out: str | Path, *, force: bool = False, dry_run: bool = False, on_event: Listener | None = None
) -> ExpertReport:
    """Make a mixture of experts out of dense models of one family.

    Args:
        wanted: base, experts, rows of the routers.
        out: target folder; must not exist or be empty, unless `force`.
        force: replace a target that is not empty.
        dry_run: check, and write nothing.
        on_event: receives progress events.

    Cost: one read of the base and of every expert's MLPs. Memory: blocks.

    Raises:
        SoleraError: see `solera.errors`; the target is then as it was before.
    """
    began, listener = time.monotonic(), on_event or (lambda _event: None)
    method: Any = build(METHOD, wanted.parameters)
    opened = _opened(wanted)
    rows = _rows(wanted, method, opened[wanted.base])
    view = _view(wanted, method, opened, rows)
    notes = _notes(wanted, method, rows)
    for note in notes:
        listener(Event("warning", "experts", note))
    making = _making(wanted, method, view, opened, notes)
    report = _report(wanted, method, making, Path(out), began)
    if dry_run:
        return report
    digest, said = write_model(making, Path(out), force=force, listener=listener)
    report = replace(report, digest=digest, warnings=said, written=True, seconds=time.monotonic() - began)
    listener(Event("finished", "experts", str(report.out), data=report.to_json()))
    return report


def upcycle_check(wanted: Upcycle, out: str | Path | None = None, *, force: bool = False) -> None:
    """Everything that `moe_upcycle` refuses but rows of routers; headers only, before the base is run for them.

    Args:
        wanted: as there; its rows are not looked at.
        out: its target; None where nothing will be written.
        force: as there.

    Raises:
        SoleraError: see `solera.errors`.
    """
    import torch

    method: Any = build(METHOD, wanted.parameters)
    read_dtype(wanted.dtype)
    opened = _opened(wanted)
    _view(wanted, method, opened, torch.zeros(_shape(wanted, opened[wanted.base])))
    if out is not None:
        check_target(Path(out), force=force, keep=[m.folder for m in opened.values() if m.folder is not None])


def _opened(wanted: Upcycle) -> dict[str, Checkpoint]:
    """Every model by name, once; the base is one that a mixture is known for."""
    found = {name: open_checkpoint(parse_ref(name)) for name in dict.fromkeys((wanted.base, *wanted.experts))}
    family_of(found[wanted.base])
    return found


def _view(wanted: Upcycle, method: Upcycling, opened: Mapping[str, Checkpoint], rows: Tensor) -> Checkpoint:
    experts = [opened[name] for name in wanted.experts]
    return upcycled(opened[wanted.base], experts, rows, method, top=wanted.top_k)


def _report(wanted: Upcycle, method: Upcycling, making: Making, out: Path, began: float) -> ExpertReport:
    """What would be written."""
    base, total = making.inputs[wanted.base], sum(spec.nbytes for spec in specs_of(making).values())
    title = f"{METHOD}(gate={method.gate}) to {family_of(base).model_type}"
    layers, seconds = len({layer for layer, _ in mlps_of(base)}), time.monotonic() - began
    return ExpertReport(
        Staging.beside(out).target, title, (0, len(wanted.experts)), layers, wanted.top_k, {}, method.gate, 0,
        total, total, seconds, "", making.notes, written=False,
    )  # fmt: skip


def _shape(wanted: Upcycle, base: Checkpoint) -> tuple[int, int, int]:
    return int(base.config["num_hidden_layers"]), len(wanted.experts), int(base.config["hidden_size"])


def _rows(wanted: Upcycle, method: Upcycling, base: Checkpoint) -> Tensor:
    """Rows of the routers: those given, or drawn."""
    shape = _shape(wanted, base)
    rows = wanted.rows
    if rows is None:
        if method.gate not in ("random", "uniform_random"):
            fix = "give --prompts, or --gate random for a model that will be trained"
            raise BadParameter("The gate takes prompts.", got=method.gate, want="rows made of prompts", fix=fix)
        rows = drawn(shape, method.seed, uniform=method.gate == "uniform_random")
    if tuple(rows.shape) != shape:
        raise ShapeMismatch("The rows do not fit the routers.", got=list(rows.shape), want=list(shape))
    return rows


def _notes(wanted: Upcycle, method: Upcycling, rows: Tensor) -> tuple[str, ...]:
    """What a reader must know."""
    found = []
    bad = degenerate(rows)
    if bad and len(wanted.experts) > 1:
        where = "all layers" if len(bad) == len(rows) else f"layers {', '.join(map(str, bad))}"
        found.append(f"rows of the router hardly differ in {where}: prompts are too alike to tell experts apart")
    said = Counter(str(sorted(one.get("positive", ()))) for one in wanted.prompts if one.get("positive"))
    if any(count > 1 for count in said.values()):
        found.append("two experts have the same prompts: the router cannot tell them apart")
    if len(wanted.experts) & (len(wanted.experts) - 1):
        found.append(f"{len(wanted.experts)} experts are no power of two, which llama.cpp wants")
    if method.gate in ("random", "uniform_random"):
        found.append("routers are random: the model needs training")
    return tuple(found)


def _making(
    wanted: Upcycle, method: Upcycling, view: Checkpoint, opened: Mapping[str, Checkpoint], notes: tuple[str, ...]
) -> Making:
    card = expert_card(METHOD)
    base = opened[wanted.base]
    made = {name: "upcycled" for name in view.table if name not in base.table}
    facts = {
        "base": wanted.base, "experts": list(wanted.experts), "top_k": wanted.top_k, "gate": method.gate,
        "noise": method.noise, "residual_scale": method.residual_scale, "seed": method.seed,
        "prompts": [dict(one) for one in wanted.prompts],
    }  # fmt: skip
    return Making(
        view, opened, METHOD, card.summary, card.paper.removeprefix("arXiv:"), facts, made, notes=notes,
        dtype=read_dtype(wanted.dtype),
    )  # fmt: skip
