"""Methods for caches by name: `@cache_method` registers one, `cache_card` describes it, `build` makes it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from solera.errors import BadParameter, SoleraError, UnknownName, nearest
from solera.inference.kv.contract import CacheMethod
from solera.registry.annotations import read_parameters
from solera.registry.card import Parameter
from solera.registry.docstring import read_docstring
from solera.registry.table import as_keywords
from solera.registry.values import faults_of

F = TypeVar("F", bound=Callable[..., CacheMethod])

BUILT_IN: Mapping[str, str] = {
    "kvmerger": "solera.inference.kv.kvmerger",
    "cam": "solera.inference.kv.cam",
    "h2o": "solera.inference.kv.h2o",
    "window": "solera.inference.kv.window",
}
"""Name -> the module that registers it; imported when it is asked for."""


@dataclass(frozen=True, slots=True)
class CacheCard:
    """The facts of a method for caches.

    Attributes:
        name: as the command line has it. target: "module:function".
        merges: what is dropped lives on in what stays; else it is evicted.
        deviations: "Differs:" lines of the docstring. parity: with what it was compared, and how near.
    """

    name: str
    target: str
    summary: str
    merges: bool
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
        return "cache method"

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, or None."""
        return next((p for p in self.parameters if p.name == name), None)


@dataclass(frozen=True, slots=True)
class _Entry:
    card: CacheCard
    make: Callable[..., CacheMethod]


_REGISTERED: dict[str, _Entry] = {}


def cache_method(
    name: str, *, merges: bool, version: int = 1, paper: str = "", code: str = "", parity: str = ""
) -> Callable[[F], F]:
    """Register a function that turns parameters into a `CacheMethod`; annotations and docstring as for `method`.

    Raises:
        SoleraError: the name is taken by another function.
    """

    def register(function: F) -> F:
        doc, target = read_docstring(function.__doc__), f"{function.__module__}:{function.__qualname__}"
        there = _REGISTERED.get(name)
        if there is not None and there.card.target != target:
            got = f"already there: {there.card.target}"
            raise SoleraError(f"Cache method `{name}` is registered twice.", where=target, got=got)
        card = CacheCard(
            name, target, doc.summary, merges, version, read_parameters(function, doc.args), paper, code, parity,
            doc.body, doc.differs,
        )  # fmt: skip
        _REGISTERED[name] = _Entry(card, function)
        return function

    return register


def cache_cards() -> dict[str, CacheCard]:
    """Name -> card of every method for caches.

    Example:
        >>> sorted(cache_cards())
        ['cam', 'h2o', 'kvmerger', 'window']
    """
    return {name: cache_card(name) for name in (*BUILT_IN, *(n for n in _REGISTERED if n not in BUILT_IN))}


def cache_card(name: str) -> CacheCard:
    """The card of one method for caches.

    Raises:
        UnknownName: there is none; the fix names the nearest.
    """
    return _entry(name).card


def build(name: str, parameters: Mapping[str, Any] | None = None) -> CacheMethod:
    """Make a method with checked parameters.

    Raises:
        UnknownName: no such method. BadParameter: naming the first value that is wrong.

    Example:
        >>> build("h2o", {"heavy": 0.25}).scores
        True
    """
    entry, given = _entry(name), parameters or {}
    for fault in faults_of(entry.card, given):
        raise BadParameter.of(fault)
    return entry.make(**as_keywords(entry.card.parameters, entry.make, given))


def _entry(name: str) -> _Entry:
    if name not in _REGISTERED and name in BUILT_IN:
        importlib.import_module(BUILT_IN[name])
    if name not in _REGISTERED:
        raise UnknownName(f"There is no cache method `{name}`.", fix=nearest(name, {*BUILT_IN, *_REGISTERED}))
    return _REGISTERED[name]
