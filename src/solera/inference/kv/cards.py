"""Methods for caches by name: `@cache_method` registers one, `cache_card` describes it, `build` makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from solera.inference.kv.contract import CacheMethod
from solera.registry.card import Parameter
from solera.registry.shelf import Facts, Shelf

F = TypeVar("F", bound=Callable[..., CacheMethod])


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


BUILT_IN: Mapping[str, str] = {
    "kvmerger": "solera.inference.kv.kvmerger",
    "cam": "solera.inference.kv.cam",
    "h2o": "solera.inference.kv.h2o",
    "window": "solera.inference.kv.window",
}
"""Name -> the module that registers it; imported when it is asked for."""

_SHELF = Shelf[CacheCard]("cache method", BUILT_IN)


def cache_method(
    name: str, *, merges: bool, version: int = 1, paper: str = "", code: str = "", parity: str = ""
) -> Callable[[F], F]:
    """Register a function that turns parameters into a `CacheMethod`; annotations and docstring as for `method`.

    Raises:
        SoleraError: the name is taken by another function.
    """

    def card_of(facts: Facts) -> CacheCard:
        return CacheCard(
            name, facts.target, facts.summary, merges, version,
            facts.parameters, paper, code, parity, facts.doc, facts.deviations,
        )  # fmt: skip

    return _SHELF.register(name, card_of)


def cache_cards() -> dict[str, CacheCard]:
    """Name -> card of every method for caches.

    Example:
        >>> sorted(cache_cards())
        ['cam', 'h2o', 'kvmerger', 'window']
    """
    return {name: cache_card(name) for name in _SHELF}


def cache_card(name: str) -> CacheCard:
    """The card of one method for caches.

    Raises:
        UnknownName: there is none; the fix names the nearest.
    """
    return _SHELF.card(name)


def build(name: str, parameters: Mapping[str, Any] | None = None) -> CacheMethod:
    """Make a method with checked parameters.

    Raises:
        UnknownName: no such method. BadParameter: naming the first value that is wrong.

    Example:
        >>> build("h2o", {"heavy": 0.25}).scores
        True
    """
    made: CacheMethod = _SHELF.make(name, parameters)
    return made
