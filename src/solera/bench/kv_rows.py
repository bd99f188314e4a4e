"""What is measured of caches with a budget, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from solera.errors import BadParameter

METHODS = ("kvmerger", "kvmerger:size=attention", "cam", "h2o", "window")
"""What is compared, unless said otherwise; the last drops by age alone. After a colon: parameters."""
BUDGETS = (1.0, 0.5, 0.35, 0.2)
FULL = "full"
"""The plain cache."""


@dataclass(frozen=True, slots=True)
class QualityRow:
    """One method at one budget on one task of a testbed.

    Attributes:
        exact: share of items of which everything that was written is right. answer: share whose answer is right.
        nbytes: held by the cache at the end of the last batch. full_nbytes: by the plain cache at that place.
        slots: of the longest layer, then. seconds: for writing all items. each: `exact` of every item.
    """

    task: str
    method: str
    budget: float
    exact: float
    answer: float
    items: int
    nbytes: int
    full_nbytes: int
    slots: int
    seconds: float
    each: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """One method at one budget: what writing costs behind a long context.

    Attributes:
        tokens_per_s: written, the first of them after reducing all layers: once in a run of tokens that may be shorter
            than what lies between two reductions.
        own: share of that time that the cache's own work takes: reducing, masks, scores.
        nbytes: held by the cache, bookkeeping included. slots: of the longest layer.
        prompt_s: the room's work on the prompt: reducing it once, and the scores of its queries.
        same_length: tokens/s of a plain cache of as many entries.
    """

    method: str
    budget: float
    tokens_per_s: float
    own: float
    nbytes: int
    slots: int
    prompt_s: float
    same_length: float


def read_method(text: str) -> tuple[str, dict[str, Any]]:
    """A method and its parameters, from ``name`` or ``name:parameter=value,...``.

    Raises:
        BadParameter: it is neither.

    Example:
        >>> read_method("kvmerger:size=attention,sigma=2")
        ('kvmerger', {'size': 'attention', 'sigma': 2})
    """
    name, _, rest = text.partition(":")
    found: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        key, sign, value = part.partition("=")
        if not sign:
            raise BadParameter("A method's parameters cannot be read.", got=text, want="name:parameter=value,...")
        found[key.strip()] = _value(value.strip())
    return name.strip(), found


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def checked(methods: Sequence[str], budgets: Sequence[float]) -> None:
    """Refuse what cannot be measured, before anything is.

    Raises:
        UnknownName: no such method. BadParameter: a parameter or a budget is wrong.
    """
    from solera.inference.kv import Budget
    from solera.inference.kv.cards import build

    for method in methods:
        build(*read_method(method))
    for budget in budgets:
        Budget(budget)


def pairs(methods: Sequence[str], budgets: Sequence[float]) -> list[tuple[str, float]]:
    """(method, budget) in the order of tables: the plain cache first, if asked for.

    Example:
        >>> pairs(("h2o", "cam"), (1.0, 0.5))
        [('full', 1.0), ('h2o', 0.5), ('cam', 0.5)]
    """
    small = [(method, budget) for budget in budgets if budget < 1 for method in methods]
    return [(FULL, 1.0), *small] if any(budget == 1 for budget in budgets) else small
