"""Settings: a value, a gradient over the layers, or cases by tensor name; read from plain data and evaluated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from solera.errors import BadParameter
from solera.recipe.values import Case, Cases, Gradient, Scalar, Setting

SETTING_TEXT = "a value, a list of numbers (over the layers), or a list of {filter: text, value: ...}"


def resolve(setting: Setting, tensor: str, position: float) -> Scalar | None:
    """Evaluate a setting for one tensor.

    Args:
        setting: as the recipe has it.
        tensor: the tensor's name; cases match any part of it.
        position: place in the layers, from 0 to 1, at which gradients are read.

    Returns:
        The value, or None when no case matches: then the next wider scope is asked.

    Example:
        >>> resolve(Gradient((0.0, 1.0, 0.0)), "model.norm.weight", 0.25)
        0.5
        >>> resolve(Cases((Case("mlp", 0.3),)), "model.norm.weight", 0.25) is None
        True
    """
    if isinstance(setting, Gradient):
        return _at(setting.points, position)
    if isinstance(setting, Cases):
        case = next((c for c in setting.cases if _matches(c, tensor)), None)
        return None if case is None else resolve(case.value, tensor, position)
    return setting


def _at(points: tuple[float, ...], position: float) -> float:
    """Linear between the two nearest of equally spaced points; booleans keep the nearest before."""
    scaled = position * (len(points) - 1)
    low = math.floor(scaled)
    if isinstance(points[low], bool):
        return points[low]
    high = min(len(points) - 1, low + 1)
    part = scaled - low
    return (1 - part) * points[low] + part * points[high]


def _matches(case: Case, tensor: str) -> bool:
    return case.contains is None or case.contains == "*" or case.contains in tensor


def as_setting(raw: Any) -> Setting:
    """Read a setting from plain data.

    Raises:
        BadParameter: neither a value, nor a list of numbers, nor cases.

    Example:
        >>> as_setting([0.2, 1])
        Gradient(points=(0.2, 1.0))
        >>> as_setting([{"filter": "mlp", "value": 0.3}, {"value": 0.5}]).cases[1]
        Case(contains=None, value=0.5)
    """
    if isinstance(raw, Mapping):
        return Cases((_case(raw),))
    if isinstance(raw, list) and raw and all(isinstance(item, Mapping) for item in raw):
        return Cases(tuple(_case(item) for item in raw))
    return _value(raw)


def _case(raw: Mapping[str, Any]) -> Case:
    strays = sorted(set(raw) - {"filter", "value"})
    contains = raw.get("filter")
    if strays or "value" not in raw or not isinstance(contains, str | None):
        raise BadParameter("The case is not readable.", got=dict(raw), want="{filter: part of a name, value: ...}")
    return Case(contains, _value(raw["value"]))


def _value(raw: Any) -> Scalar | Gradient:
    if isinstance(raw, list) and raw and all(isinstance(item, bool) for item in raw):
        return Gradient(tuple(raw))
    if isinstance(raw, list) and raw and all(_is_number(item) for item in raw):
        return Gradient(tuple(float(item) for item in raw))
    if isinstance(raw, bool | int | float | str):
        return raw
    raise BadParameter("The value is not readable.", got=raw, want=SETTING_TEXT)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def leaves(setting: Setting) -> list[Scalar]:
    """Every plain value inside a setting: the points of gradients, the values of all cases.

    Example:
        >>> leaves(Cases((Case("mlp", Gradient((0.1, 0.2))), Case(None, 1.0))))
        [0.1, 0.2, 1.0]
    """
    if isinstance(setting, Gradient):
        return list(setting.points)
    if isinstance(setting, Cases):
        return [value for case in setting.cases for value in leaves(case.value)]
    return [setting]


def has_gradient(setting: Setting) -> bool:
    """Whether the setting changes with the layers anywhere."""
    if isinstance(setting, Cases):
        return any(has_gradient(case.value) for case in setting.cases)
    return isinstance(setting, Gradient)
