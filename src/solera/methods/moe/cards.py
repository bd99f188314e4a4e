"""Methods for experts by name: `@expert_method` registers one, `expert_card` describes it, `build` makes it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from solera.errors import BadParameter, SoleraError, UnknownName, nearest
from solera.registry.annotations import read_parameters
from solera.registry.card import Parameter
from solera.registry.docstring import read_docstring
from solera.registry.table import as_keywords
from solera.registry.values import faults_of

if TYPE_CHECKING:
    from solera.methods.moe.contract import ExpertMethod

F = TypeVar("F", bound=Callable[..., Any])
Verb = Literal["merge", "prune", "upcycle"]

BUILT_IN: Mapping[str, str] = {
    "m_smoe": "solera.methods.moe.m_smoe",
    "hc_smoe": "solera.methods.moe.hc_smoe",
    "reap": "solera.methods.moe.reap",
    "upcycle": "solera.methods.moe.upcycle",
}
"""Name -> the module that registers it; imported when it is asked for."""


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


@dataclass(frozen=True, slots=True)
class _Entry:
    card: ExpertCard
    make: Callable[..., Any]


_REGISTERED: dict[str, _Entry] = {}


def expert_method(
    name: str, *, verb: Verb, version: int = 1, paper: str = "", code: str = "", parity: str = ""
) -> Callable[[F], F]:
    """Register a function that turns parameters into an `ExpertMethod`; annotations and docstring as for `method`.

    Raises:
        SoleraError: the name is taken by another function.
    """

    def register(function: F) -> F:
        doc, target = read_docstring(function.__doc__), f"{function.__module__}:{function.__qualname__}"
        there = _REGISTERED.get(name)
        if there is not None and there.card.target != target:
            got = f"already there: {there.card.target}"
            raise SoleraError(f"Expert method `{name}` is registered twice.", where=target, got=got)
        parameters = read_parameters(function, doc.args)
        _REGISTERED[name] = _Entry(
            ExpertCard(
                name, verb, target, doc.summary, version, parameters, paper, code, parity, doc.body, doc.differs
            ),
            function,
        )
        return function

    return register


def expert_cards() -> dict[str, ExpertCard]:
    """Name -> card of every method for experts.

    Example:
        >>> sorted(expert_cards())
        ['hc_smoe', 'm_smoe', 'reap', 'upcycle']
    """
    return {name: expert_card(name) for name in (*BUILT_IN, *(n for n in _REGISTERED if n not in BUILT_IN))}


def expert_card(name: str, verb: Verb | None = None) -> ExpertCard:
    """The card of one method for experts, of that command where one is named.

    Raises:
        UnknownName: there is none; the fix names the nearest.
    """
    card = _entry(name).card
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
    entry, given = _entry(name), parameters or {}
    for fault in faults_of(entry.card, given):
        raise BadParameter.of(fault)
    made: ExpertMethod = entry.make(**as_keywords(entry.card.parameters, entry.make, given))
    return made


def _entry(name: str) -> _Entry:
    if name not in _REGISTERED and name in BUILT_IN:
        importlib.import_module(BUILT_IN[name])
    if name not in _REGISTERED:
        raise UnknownName(f"There is no expert method `{name}`.", fix=nearest(name, {*BUILT_IN, *_REGISTERED}))
    return _REGISTERED[name]
