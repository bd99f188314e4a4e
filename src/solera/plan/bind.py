"""From settings to values: which method and which parameters one leaf gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from solera import registry
from solera.arch.values import Leaf
from solera.errors import BadParameter
from solera.plan.tasks import Call
from solera.recipe.settings import resolve
from solera.recipe.values import Cases, Gradient, Match, Merge, Rule, Setting, Settings

COPY = "copy"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a leaf's settings are looked up: per operand first, then outwards.

    `operands[k]` are the k-th model's own settings; `outer` goes from the slice to the whole recipe.
    `position` is the place in the layers, 0..1, that gradients are read at.
    """

    operands: tuple[Settings, ...]
    outer: tuple[Settings, ...]
    position: float


def matches(match: Match, leaf: Leaf) -> bool:
    """Whether a rule speaks of a leaf: role by prefix, layers inclusive, name by glob.

    Example:
        >>> matches(Match(role=("mlp",)), Leaf("m", "m", 0, (1,), role="mlp.up"))
        True
    """
    role = not match.role or any(
        leaf.role == r or leaf.role.startswith(r + ".") or r in leaf.role.split(".") for r in match.role
    )
    layers = match.layers is None or (leaf.layer is not None and match.layers[0] <= leaf.layer <= match.layers[1])
    name = match.name is None or fnmatchcase(leaf.name, match.name) or fnmatchcase(leaf.tensor, match.name)
    module = match.module is None or match.module in (leaf.module, leaf.stack)
    return role and layers and name and module


def is_constant(node: Merge, scope: Scope) -> bool:
    """Whether every leaf of a scope gets the same call: no rules, gradients or conditions."""
    settings = (value for level in (*scope.operands, *scope.outer) for value in level.values())
    return not node.rules and not any(isinstance(value, (Gradient, Cases)) for value in settings)


def call_for(node: Merge, leaf: Leaf, scope: Scope) -> Call:
    """Bind a node's method to one leaf.

    Raises:
        BadParameter: a required parameter has no value here.
    """
    rules = [rule for rule in node.rules if matches(rule.match, leaf)]
    method = next((r.method for r in reversed(rules) if r.method), node.method)
    if method == COPY:
        return Call(COPY)
    variant = node.variant if method == node.method else None
    values = _bound(registry.card(method), variant, rules, leaf, scope)
    return Call(method, tuple(sorted(values.items())), variant)


def _bound(card: registry.Card, variant: str | None, rules: Sequence[Rule], leaf: Leaf, scope: Scope) -> dict[str, Any]:
    preset: Mapping[str, Any] = card.variants.get(variant or "", {})
    values: dict[str, Any] = {}
    for parameter in card.parameters:
        fallback = preset.get(parameter.name, parameter.default)
        if parameter.per_model:
            given = [_model_value(parameter.name, k, rules, leaf, scope) for k in range(len(scope.operands))]
            if any(v is not None for v in given):
                values[parameter.name] = tuple(fallback if v is None else v for v in given)
        elif (value := _value(parameter.name, rules, leaf, scope.outer, scope.position)) is not None:
            values[parameter.name] = value
        if parameter.required and None in _as_tuple(values.get(parameter.name)):
            raise BadParameter(
                f"`{parameter.name}` has no value for {leaf.name}.",
                want=parameter.range_text,
                fix=f"set `{parameter.name}` for {card.name} on every model, or once for all under parameters",
            )
    return values


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _model_value(name: str, k: int, rules: Sequence[Rule], leaf: Leaf, scope: Scope) -> Any:
    for rule in reversed(rules):
        for settings in (rule.model_parameters.get(k, {}), rule.parameters):
            if (value := _one(settings.get(name), leaf, scope.position)) is not None:
                return value
    return _value(name, (), leaf, (scope.operands[k], *scope.outer), scope.position)


def _value(name: str, rules: Sequence[Rule], leaf: Leaf, levels: Sequence[Settings], position: float) -> Any:
    for settings in (*(rule.parameters for rule in reversed(rules)), *levels):
        if (value := _one(settings.get(name), leaf, position)) is not None:
            return value
    return None


def _one(setting: Setting | None, leaf: Leaf, position: float) -> Any:
    return None if setting is None else resolve(setting, leaf.tensor, position)
