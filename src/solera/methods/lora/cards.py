"""Methods for adapters by name: `@adapter_method` registers one, `adapter_card` describes it, `build` makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from solera.methods.lora.contract import FactorMethod
from solera.registry.card import Parameter
from solera.registry.shelf import Facts, Shelf
from solera.types import NumericClass

F = TypeVar("F", bound=Callable[..., FactorMethod])


@dataclass(frozen=True, slots=True)
class AdapterCard:
    """The facts of a method for adapters.

    Attributes:
        name: as the command line has it. target: "module:function".
        inner: the method that merges in its space where none is named; "" for methods that take none.
        symmetric: the order of the adapters does not matter beyond rounding, if the inner method's does not.
        numeric: exact, same-build or tolerance.
        deviations: "Differs:" lines of the docstring. parity: with what it was compared, and how near.
    """

    name: str
    target: str
    summary: str
    inner: str
    symmetric: bool
    numeric: str
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
        return "adapter method"

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, or None."""
        return next((p for p in self.parameters if p.name == name), None)


BUILT_IN: Mapping[str, str] = {
    "sum": "solera.methods.lora.sum",
    "core_space": "solera.methods.lora.core_space",
    "knots": "solera.methods.lora.knots",
    "full_space": "solera.methods.lora.full_space",
}
"""Name -> the module that registers it; imported when it is asked for."""

_SHELF = Shelf[AdapterCard]("adapter method", BUILT_IN)


def adapter_method(
    name: str,
    *,
    inner: str = "",
    symmetric: bool = True,
    numeric: NumericClass | str = NumericClass.TOLERANCE,
    version: int = 1,
    paper: str = "",
    code: str = "",
    parity: str = "",
) -> Callable[[F], F]:
    """Register a function that turns parameters into a `FactorMethod`; annotations and docstring as for `method`.

    Raises:
        SoleraError: the name is taken by another function.
    """

    def card_of(facts: Facts) -> AdapterCard:
        return AdapterCard(
            name, facts.target, facts.summary, inner, symmetric, NumericClass(numeric).value, version,
            facts.parameters, paper, code, parity, facts.doc, facts.deviations,
        )  # fmt: skip

    return _SHELF.register(name, card_of)


def adapter_cards() -> dict[str, AdapterCard]:
    """Name -> card of every method for adapters.

    Example:
        >>> sorted(adapter_cards())
        ['core_space', 'full_space', 'knots', 'sum']
    """
    return {name: adapter_card(name) for name in _SHELF}


def adapter_card(name: str) -> AdapterCard:
    """The card of one method for adapters.

    Raises:
        UnknownName: there is none; the fix names the nearest.
    """
    return _SHELF.card(name)


def build(name: str, parameters: Mapping[str, Any] | None = None) -> FactorMethod:
    """Make a method with checked parameters.

    Raises:
        UnknownName: no such method. BadParameter: naming the first value that is wrong.

    Example:
        >>> build("sum", {"weight": 0.5}).coefficients(2)
        (0.5, 0.5)
    """
    made: FactorMethod = _SHELF.make(name, parameters)
    return made
