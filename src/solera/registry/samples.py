"""Usable values of parameters, and unusable ones: for laws, pages and counting passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solera.registry.card import Card, Parameter


def sample(parameter: Parameter) -> Any:
    """A usable value: the default, else the first choice, else a number well inside the range.

    Example:
        >>> [sample(Parameter("t", "float", required=True, low=0, high=high)) for high in (1, None)]
        [0.5, 1.0]
    """
    if not parameter.required:
        return parameter.default
    if parameter.kind == "choice":
        return parameter.choices[0]
    if parameter.kind == "bool":
        return False
    number = _inside(parameter.low, parameter.high)
    return int(number) if parameter.kind == "int" else float(number)


def sample_values(card: Card) -> Mapping[str, Any]:
    """Usable values for the parameters that have no default; the others keep theirs."""
    return {parameter.name: sample(parameter) for parameter in card.parameters if parameter.required}


def unusable(parameter: Parameter) -> list[Any]:
    """Values that must be refused: wrong types, and numbers just outside the declared range.

    Example:
        >>> unusable(Parameter("density", "float", low=0, high=1, open_low=True))[2:]
        [0, 2]
    """
    if parameter.kind == "choice":
        return ["no such choice", 7]
    if parameter.kind == "bool":
        return ["yes", 7]
    wrong: list[Any] = ["much", float("nan")]
    if parameter.low is not None:
        wrong.append(parameter.low if parameter.open_low else parameter.low - 1)
    if parameter.high is not None:
        wrong.append(parameter.high if parameter.open_high else parameter.high + 1)
    return wrong


def _inside(low: float | None, high: float | None) -> float:
    if low is not None and high is not None:
        return (low + high) / 2
    if low is not None:
        return low + 1
    return 1.0 if high is None else high - 1
