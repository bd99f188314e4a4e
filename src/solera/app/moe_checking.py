"""What is asked of a model's experts, and all that can be refused before statistics are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from solera.checkpoints import open_checkpoint
from solera.checkpoints.contract import Checkpoint
from solera.checkpoints.reference import parse_ref
from solera.errors import BadParameter, PlanError
from solera.execute.staging import check_target
from solera.methods.moe.cards import Verb, build, expert_card
from solera.methods.moe.contract import ExpertMethod, check_count
from solera.methods.moe.layout import ExpertModel, experts_of
from solera.methods.moe.view import Rows
from solera.types import DType


@dataclass(frozen=True, slots=True)
class ExpertMerge:
    """What becomes of a model's experts.

    Attributes:
        model: a mixture of experts. method: see `expert_cards`; parameters: its own.
        experts: how many every layer keeps; a share in (0, 1) of those that it has, or a number.
        statistics: folder of files that were measured on the model, by kind.
        rows: what becomes of the router's rows of merged experts: their weighted mean, their leader's, or every row
            stays, with every slot. Pruning takes the rows of experts that are left out.
        top_k: experts that a token is sent to; None leaves it. dtype: of the output; None leaves every tensor's own.
    """

    model: str
    method: str
    experts: float
    statistics: Path | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rows: Rows = "mean"
    top_k: int | None = None
    dtype: str | None = None


def moe_check(wanted: ExpertMerge, verb: Verb, out: str | Path | None = None, *, force: bool = False) -> None:
    """Everything that `moe_merge` and `moe_prune` refuse before statistics are looked at; headers only.

    For what is done before them: measuring a large model takes hours.

    Args:
        wanted: as theirs; its statistics are not opened.
        verb: "merge" or "prune".
        out: their target; None where nothing will be written.
        force: as theirs.

    Raises:
        SoleraError: see `solera.errors`.
    """
    asked = asked_of(wanted, verb)
    if out is not None:
        check_target(Path(out), force=force, keep=[asked.model.folder] if asked.model.folder else [])


@dataclass(frozen=True, slots=True)
class Asked:
    """Model and method, which fit each other; count: of experts to keep. top: of experts for a token."""

    model: Checkpoint
    experts: ExpertModel
    method: ExpertMethod
    count: int
    top: int


def asked_of(wanted: ExpertMerge, verb: Verb) -> Asked:
    """Open the model, make the method, check that one fits the other.

    Raises:
        SoleraError: see `solera.errors`.
    """
    expert_card(wanted.method, verb)
    method = build(wanted.method, wanted.parameters)
    read_dtype(wanted.dtype)
    model = open_checkpoint(parse_ref(wanted.model))
    experts = experts_of(model)
    count = count_of(wanted.experts, experts.experts)
    top = wanted.top_k if wanted.top_k is not None else experts.top
    _check(wanted, verb, method, experts, count, top)
    return Asked(model, experts, method, count, top)


def count_of(wanted: float, present: int) -> int:
    """How many experts are kept: a number, or (a float of at most 1) a share of those that are there, rounded.

    Raises:
        BadParameter: none, or more than there are.

    Example:
        >>> count_of(0.5, 8), count_of(6, 8), count_of(0.75, 3), count_of(1.0, 3)
        (4, 6, 2, 3)
    """
    count = round(wanted * present) if isinstance(wanted, float) and 0 < wanted <= 1 else wanted
    if not (isfinite(count) and count == int(count)):
        raise BadParameter("`experts` is not usable.", got=wanted, want="a whole number, or a share in (0, 1)")
    check_count(int(count), present)
    return int(count)


def _check(wanted: ExpertMerge, verb: str, method: ExpertMethod, experts: ExpertModel, count: int, top: int) -> None:
    """Whether a model with so many experts can be made, and be run."""
    if count >= experts.experts:
        want = f"fewer than the {experts.experts} that every layer has"
        raise BadParameter("`experts` is not usable.", got=count, want=want, fix=f"there is nothing to {verb}")
    left = experts.experts if wanted.rows == "every" else count
    if top < 1:
        raise BadParameter("`top_k` is not usable.", got=top, want=f"a whole number in [1, {left}]")
    if top > left:
        fix = f"keep at least {top} experts, or send tokens to fewer with --top-k"
        raise BadParameter(
            "More experts are chosen for a token than are left.", got=top, want=f"at most {left}", fix=fix
        )
    if not method.even and wanted.rows != "every":
        want = "one number of experts for all layers"
        raise PlanError(
            "The method gives layers different numbers.",
            got=wanted.method,
            want=want,
            fix="--router every, or --spread even",
        )
    if experts.groups > 1 and wanted.rows != "every":
        got, fix = f"n_group {experts.groups} in {experts.architecture}", "merge with --router every"
        raise PlanError("Experts that are routed by groups cannot be fewer.", got=got, want="n_group 1", fix=fix)


def read_dtype(text: str | None) -> DType | None:
    """Read an output type; None stays None."""
    if text is None:
        return None
    try:
        found = DType.parse(text)
    except ValueError:
        found = None
    if found not in (DType.F32, DType.BF16, DType.F16):
        raise BadParameter("`dtype` is not usable.", got=text, want="float32, bfloat16 or float16")
    return found
