"""From settings to values: which method and which parameters one leaf gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, partial
from typing import Any

from solera import registry
from solera.arch.values import Leaf
from solera.errors import BadParameter
from solera.plan.chains import statistics_of, takes_weights
from solera.plan.tasks import Call
from solera.recipe.settings import resolve
from solera.recipe.step_words import Kind, labels, words_for
from solera.recipe.values import Cases, Gradient, Match, Merge, Rule, Setting, Settings, StepUse
from solera.registry import StepCard
from solera.registry.values import Described

COPY = "copy"


@dataclass(frozen=True)
class Scope:
    """Where a leaf's settings are looked up: per operand first, then outwards.

    `operands[k]` are the k-th model's own settings; `outer` goes from the slice to the whole recipe.
    `position` is the place in the layers, 0..1, that gradients are read at.
    """

    operands: tuple[Settings, ...]
    outer: tuple[Settings, ...]
    position: float

    @cached_property
    def key(self) -> tuple[int, ...]:
        """The settings by identity: equal for scopes that differ in position alone."""
        return tuple(map(id, (*self.operands, *self.outer)))


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A call, and what is asked of it for every leaf: whether it works on weights, the statistics that it needs."""

    call: Call
    on_weights: bool = False
    statistics: tuple[str, ...] = ()


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
    inline = (use.parameters for use in (*node.steps, *node.wrap))
    settings = (value for level in (*scope.operands, *scope.outer, *inline) for value in level.values())
    return not node.rules and not any(isinstance(value, (Gradient, Cases)) for value in settings)


def bound(node: Merge, leaf: Leaf, scope: Scope) -> Bound:
    """`call_for`, with what is asked of the call.

    Raises:
        BadParameter: a required parameter has no value here.
    """
    call = call_for(node, leaf, scope)
    return Bound(call) if call.method == COPY else Bound(call, takes_weights(call), statistics_of(call))


def call_for(node: Merge, leaf: Leaf, scope: Scope) -> Call:
    """Bind a node's method to one leaf.

    Raises:
        BadParameter: a required parameter has no value here.
    """
    rules = [rule for rule in node.rules if matches(rule.match, leaf)]
    said = next((rule for rule in reversed(rules) if rule.method), node)
    method = said.method or ""
    if method == COPY:
        return Call(COPY)
    wrap = _chain(next((r.wrap for r in reversed(rules) if r.wrap is not None), node.wrap), "wrap", rules, leaf, scope)
    if said.steps:
        return Call(method, steps=_chain(said.steps, "steps", rules, leaf, scope), wrap=wrap)
    variant = node.variant if method == node.method else None
    card = registry.card(method)
    values = _bound(card, card.variants.get(variant or "", {}), rules, leaf, scope)
    return Call(method, tuple(sorted(values.items())), variant, wrap=wrap)


def _chain(uses: Sequence[StepUse], kind: Kind, rules: Sequence[Rule], leaf: Leaf, scope: Scope) -> tuple[Call, ...]:
    """Bind the steps of a chain, or wrappers. What comes after the step that reduces has no values per model."""
    cards = [registry.step_card(use.name) for use in uses]
    calls: list[Call] = []
    several = kind == "steps"
    for use, label, card in zip(uses, labels([use.name for use in uses]), cards, strict=True):
        seen = _seen(scope, use, partial(_own, kind, label, card), several=several)
        mine = tuple(p if several else replace(p, per_model=False) for p in card.parameters)
        own = [_rule_seen(rule, partial(_own, kind, label, card)) for rule in rules]
        values = _bound(replace(card, parameters=mine), {}, own, leaf, seen)
        calls.append(Call(use.name, tuple(sorted(values.items()))))
        several = several and card.role != "reduces"
    return tuple(calls)


def _own(kind: Kind, label: str, card: StepCard, settings: Settings) -> Settings:
    """What settings say of one step, under its own names of its parameters."""
    found = {}
    for parameter in card.parameters:
        word = next((word for word in words_for(kind, label, parameter.name) if word in settings), None)
        if word is not None:
            found[parameter.name] = settings[word]
    return found


def _seen(scope: Scope, use: StepUse, own: Callable[[Settings], Settings], *, several: bool) -> Scope:
    operands = tuple(own(settings) for settings in scope.operands) if several else ()
    return Scope(operands, (use.parameters, *(own(settings) for settings in scope.outer)), scope.position)


def _rule_seen(rule: Rule, own: Callable[[Settings], Settings]) -> Rule:
    per_model = {k: own(settings) for k, settings in rule.model_parameters.items()}
    return replace(rule, parameters=own(rule.parameters), model_parameters=per_model)


def _bound(
    card: Described, preset: Mapping[str, Any], rules: Sequence[Rule], leaf: Leaf, scope: Scope
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for parameter in card.parameters:
        fallback = preset.get(parameter.name, parameter.default)
        if parameter.per_model:
            given = [_model_value(parameter.name, k, rules, leaf, scope) for k in range(len(scope.operands))]
            if any(v is not None for v in given):
                each = fallback if isinstance(fallback, tuple) else (fallback,) * len(given)
                values[parameter.name] = tuple(each[k] if v is None else v for k, v in enumerate(given))
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
