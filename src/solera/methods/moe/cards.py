"""Methods for experts by name: `@expert_method` registers one, `expert_card` describes it, `build` makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from solera.errors import UnknownName
from solera.registry.card import Parameter
from solera.registry.shelf import Facts, Shelf

if TYPE_CHECKING:
    from solera.methods.moe.contract import ExpertMethod

F = TypeVar("F", bound=Callable[..., Any])
Verb = Literal["merge", "prune", "upcycle"]


@dataclass(frozen=True, slots=True)
class ExpertCard:
    """The facts of a method for experts.

    Attributes:
        name: as the command line has it. verb: the command that it belongs to. target: "module:function".
        deviations: "Differs:" lines of the docstring. parity: with what it was compared, and how near.
    """

    name: str
    verb: str
    target: str
    summary: str
    version: int
    parameters: tuple[Parameter, ...]
    paper: str = ""
    code: str = ""
    parity: str = ""
    doc: str = ""
    deviations: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        """What it is called in messages."""
        return "expert method"

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, or None."""
        return next((p for p in self.parameters if p.name == name), None)


BUILT_IN: Mapping[str, str] = {
    "m_smoe": "solera.methods.moe.m_smoe",
    "hc_smoe": "solera.methods.moe.hc_smoe",
    "reap": "solera.methods.moe.reap",
    "upcycle": "solera.methods.moe.upcycle",
}
"""Name -> the module that registers it; imported when it is asked for."""

_SHELF = Shelf[ExpertCard]("expert method", BUILT_IN)


def expert_method(
    name: str, *, verb: Verb, version: int = 1, paper: str = "", code: str = "", parity: str = ""
) -> Callable[[F], F]:
    """Register a function that turns parameters into an `ExpertMethod`; annotations and docstring as for `method`.

    Raises:
        SoleraError: the name is taken by another function.
    """

    def card_of(facts: Facts) -> ExpertCard:
        return ExpertCard(
            name, verb, facts.target, facts.summary, version,
            facts.parameters, paper, code, parity, facts.doc, facts.deviations,
        )  # fmt: skip

    return _SHELF.register(name, card_of)


def expert_cards() -> dict[str, ExpertCard]:
    """Name -> card of every method for experts.

    Example:
        >>> sorted(expert_cards())
        ['hc_smoe', 'm_smoe', 'reap', 'upcycle']
    """
    return {name: expert_card(name) for name in _SHELF}


def expert_card(name: str, verb: Verb | None = None) -> ExpertCard:
    """The card of one method for experts, of that command where one is named.

    Raises:
        UnknownName: there is none; the fix names the nearest.
    """
    card = _SHELF.card(name)
    if verb is not None and card.verb != verb:
        fix = f"solera moe {card.verb}; here: {', '.join(c.name for c in expert_cards().values() if c.verb == verb)}"
        raise UnknownName(f"`{name}` does not {verb}.", fix=fix)
    return card


def build(name: str, parameters: Mapping[str, Any] | None = None) -> ExpertMethod:
    """Make a method with checked parameters.

    Raises:
        UnknownName: no such method. BadParameter: naming the first value that is wrong.

    Example:
        >>> build("reap").statistics
        ('expert_activation',)
    """
    made: ExpertMethod = _SHELF.make(name, parameters)
    return made
