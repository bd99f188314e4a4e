"""Which methods take part in a comparison, and how: on all experts at once, folded over them, or one merge per task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from solera.errors import UnknownName, nearest
from solera.registry import Card, cards
from solera.registry.samples import sample_values

How = Literal["all", "mean fold", "base fold", "per task"]
"""all: one merge of all experts. per task: one merge for each task, told which (as when the task is known).

Methods of two models are folded over the experts in order. mean fold: starts at the first expert, and the k-th weighs
1/k. base fold: starts at the base, and what is made so far is the base of the next step.
"""

FOLDS: Mapping[str, How] = {
    "slerp": "mean fold",
    "nuslerp": "mean fold",
    "nearswap": "base fold",
    "arcee_fusion": "base fold",
}
"""Two-model methods that are given a fold; the others of their kind are listed as not applicable."""

REQUIRED: Mapping[str, Mapping[str, Any]] = {"nearswap": {"t": 0.001}}
"""Values for parameters without a default; others take the middle of their range."""

NOT_A_MERGE: Mapping[str, str] = {
    "passthrough": "takes one model as it is",
    "mka": "merges layers of one model, not models",
    "mwa": "needs a measured loss or score for each model",
    "negmerge": "negates: takes fine-tunes of one task, to forget it",
    "tsv_compress": "compresses experts, does not merge them",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a comparison.

    Attributes:
        name: in tables and records; a probe's own name, else the method's.
        method: registered name. how: see `How`.
        fixed: parameters that are set in every run, tuned or not.
    """

    name: str
    method: str
    how: How = "all"
    fixed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Field:
    """Who takes part, and who does not and why."""

    entries: tuple[Entry, ...]
    left_out: Mapping[str, str]


def field_of(experts: int, *, based: bool, methods: Sequence[str] | None = None, probes: Iterable[Entry] = ()) -> Field:
    """All registered methods that apply to a number of experts, by the facts of their cards.

    Args:
        experts: how many models there are.
        based: whether their base is known.
        methods: only these; None is all, and the probes.
        probes: further lines: methods with fixed parameters.

    Raises:
        UnknownName: no such method or probe.

    Example:
        >>> chosen = field_of(8, based=True, methods=["ties", "slerp", "passthrough"])
        >>> [(entry.name, entry.how) for entry in chosen.entries]
        [('ties', 'all'), ('slerp', 'mean fold')]
        >>> chosen.left_out
        {'passthrough': 'takes one model as it is'}
    """
    known = cards()
    extra = {probe.name: probe for probe in probes if probe.method in known}
    names = [*known, *extra] if methods is None else list(methods)
    for name in names:
        if name not in known and name not in extra:
            raise UnknownName(f"There is no method `{name}`.", fix=nearest(name, {*known, *extra}))
    asked = {name: extra.get(name) or Entry(name, name) for name in dict.fromkeys(names)}
    why = {name: reason(known[entry.method], experts, based=based) for name, entry in asked.items()}
    taking = (_placed(entry, known[entry.method], experts) for name, entry in asked.items() if not why[name])
    return Field(tuple(taking), {name: words for name, words in why.items() if words})


def reason(card: Card, experts: int, *, based: bool) -> str:
    """Why a method does not apply, or "".

    Example:
        >>> from solera.registry import card
        >>> reason(card("ties"), 3, based=False)
        'needs a base'
    """
    if card.name in NOT_A_MERGE or card.statistics:
        return NOT_A_MERGE.get(card.name) or f"needs statistics: {', '.join(card.statistics)}"
    if card.base == "required" and not based:
        return "needs a base"
    low, high = card.models
    if experts < low:
        return f"needs {low} models"
    if high is not None and experts > high and card.name not in FOLDS:
        return f"takes {high} model" + ("s" if high > 1 else "") + ", and no fold is defined"
    return ""


def _placed(entry: Entry, card: Card, experts: int) -> Entry:
    """The entry with its way of taking the experts, and values for what has no default."""
    given = {**sample_values(card), **REQUIRED.get(card.name, {}), **entry.fixed}
    how: How = "all"
    if card.parameter("task") is not None:
        how = "per task"
        given.pop("task", None)
    elif card.name in FOLDS and experts > 1:
        how = FOLDS[card.name]
        given = {name: value for name, value in given.items() if how != "mean fold" or name not in ("t", "weight")}
    return Entry(entry.name, entry.method, how, given)
