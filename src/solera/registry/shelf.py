"""A shelf of methods that are no chains over a stack: makers by name, each with a card of its kind.

Methods for adapters, for experts and for caches have contracts and cards of their own; how they are registered, found
and made is the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from solera.errors import BadParameter, SoleraError, UnknownName, nearest
from solera.registry.annotations import read_parameters
from solera.registry.card import Parameter
from solera.registry.docstring import read_docstring
from solera.registry.table import as_keywords
from solera.registry.values import Described, faults_of


class Shown(Described, Protocol):
    """What a shelf must know of a card."""

    @property
    def target(self) -> str:
        """Where the maker is, "module:function"."""
        ...


@dataclass(frozen=True, slots=True)
class Facts:
    """What a maker itself says: where it is, its docstring, the parameters that its annotations declare."""

    target: str
    summary: str
    doc: str
    deviations: tuple[str, ...]
    parameters: tuple[Parameter, ...]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Facts:
        """Read a maker's annotations and docstring."""
        doc, target = read_docstring(function.__doc__), f"{function.__module__}:{function.__qualname__}"
        return cls(target, doc.summary, doc.body, doc.differs, read_parameters(function, doc.args))


C = TypeVar("C", bound=Shown)
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False)
class Shelf(Generic[C]):
    """Methods of one kind.

    Attributes:
        noun: what such a method is called in messages.
        built_in: name -> the module that registers it; imported when it is asked for.
    """

    noun: str
    built_in: Mapping[str, str]
    _there: dict[str, tuple[C, Callable[..., Any]]] = field(default_factory=dict)

    def register(self, name: str, card_of: Callable[[Facts], C]) -> Callable[[F], F]:
        """A decorator that puts a maker on the shelf; `card_of` makes its card of what the maker says.

        Raises:
            SoleraError: the name is taken by another function.
        """

        def put(function: F) -> F:
            facts = Facts.of(function)
            if name in self._there and (other := self._there[name][0].target) != facts.target:
                what = f"{self.noun.capitalize()} `{name}` is registered twice."
                raise SoleraError(what, where=facts.target, got=f"already there: {other}")
            self._there[name] = card_of(facts), function
            return function

        return put

    def __iter__(self) -> Iterator[str]:
        """Names: those that are built in first."""
        return iter((*self.built_in, *(name for name in self._there if name not in self.built_in)))

    def card(self, name: str) -> C:
        """The card of one method.

        Raises:
            UnknownName: there is none; the fix names the nearest.
        """
        return self._found(name)[0]

    def make(self, name: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Call the maker with checked parameters.

        Raises:
            UnknownName: no such method. BadParameter: naming the first value that is wrong.
        """
        card, maker = self._found(name)
        given = parameters or {}
        for fault in faults_of(card, given):
            raise BadParameter.of(fault)
        return maker(**as_keywords(card.parameters, maker, given))

    def _found(self, name: str) -> tuple[C, Callable[..., Any]]:
        if name not in self._there and name in self.built_in:
            importlib.import_module(self.built_in[name])
        if name not in self._there:
            raise UnknownName(f"There is no {self.noun} `{name}`.", fix=nearest(name, {*self}))
        return self._there[name]
