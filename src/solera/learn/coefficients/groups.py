"""What has a coefficient of its own, and how a recipe says it: for all tensors, for a layer, for a tensor."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solera.arch.values import Leaf
from solera.errors import PlanError
from solera.learn.coefficients.contract import Granularity
from solera.plan.tasks import LeafTask, OutputTensor, Plan
from solera.recipe.values import Match, Merge, Recipe, Rule

WEIGHT = "weight"
ALL, REST = "all tensors", "outside the layers"


@dataclass(frozen=True, slots=True)
class Group:
    """Tensors that share coefficients: a name for people, and a rule's match (None: the merge's own parameters)."""

    name: str
    match: Match | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """The groups in order, and the group of every leaf task, by the task's identity."""

    groups: tuple[Group, ...]
    of: Mapping[int, int]

    def __len__(self) -> int:
        """How many groups there are."""
        return len(self.groups)


def grouping_of(plan: Plan, granularity: Granularity, leaves: Mapping[str, Leaf]) -> Grouping:
    """Sort the tasks of a plan into groups; a tied tensor is in one group only, that of its first name.

    Args:
        plan: of the merge whose coefficients are learnt.
        granularity: what has a coefficient of its own.
        leaves: what the model's leaves are, by name.
    """
    several = len({leaf.stack for leaf in leaves.values() if leaf.layer is not None}) > 1
    groups: dict[Group, int] = {}
    of: dict[int, int] = {}
    for tensor, task in merged_tasks(plan):
        if id(task) not in of:
            group = _group(tensor, granularity, leaves.get(task.leaf), several=several)
            of[id(task)] = groups.setdefault(group, len(groups))
    return Grouping(tuple(groups), of)


def merged_tasks(plan: Plan) -> Iterator[tuple[OutputTensor, LeafTask]]:
    """Everything that is merged, with the output tensor that it lies in."""
    for tensor in plan.outputs:
        for part in tensor.parts:
            if isinstance(part.expr, LeafTask):
                yield tensor, part.expr


def _group(tensor: OutputTensor, granularity: Granularity, leaf: Leaf | None, *, several: bool) -> Group:
    if granularity == "tensor":
        return Group(tensor.name, Match(name=glob.escape(tensor.name)))
    if granularity == "task":
        return Group(ALL)
    if leaf is None or leaf.layer is None:
        return Group(REST)
    stack = leaf.stack if several else None
    return Group(f"{stack} layer {leaf.layer}" if stack else f"layer {leaf.layer}", _layer(leaf.layer, stack))


def _layer(layer: int, stack: str | None) -> Match:
    return Match(layers=(layer, layer), module=stack)


def with_weights(recipe: Recipe, groups: Sequence[Group], weights: Sequence[Sequence[float]]) -> Recipe:
    """The recipe with coefficients: one rule for each group, or the models' own parameters.

    Args:
        recipe: a merge of listed models.
        groups: from `grouping_of`.
        weights: (groups, models).

    Raises:
        PlanError: there are not as many rows as groups.

    Example:
        >>> from solera.recipe import parse, to_yaml
        >>> recipe = parse("{method: task_arithmetic, base: x, models: [a, b]}")
        >>> print(to_yaml(with_weights(recipe, [Group(ALL)], [[0.25, 0.5]])), end="")
        solera: 1
        base: x
        models:
          - {model: a, weight: 0.25}
          - {model: b, weight: 0.5}
        method: task_arithmetic
    """
    if len(groups) != len(weights):
        raise PlanError("Coefficients and groups do not fit.", got=len(weights), want=str(len(groups)))
    node = recipe.merge
    plain = next((row for group, row in zip(groups, weights, strict=True) if group.match is None), None)
    rules = [_rule(group.match, row) for group, row in zip(groups, weights, strict=True) if group.match is not None]
    node = _with_own(node, plain)
    return replace(recipe, merge=replace(node, rules=(*node.rules, *rules)), text="", source="")


def _rule(match: Match, row: Sequence[float]) -> Rule:
    return Rule(match, model_parameters={k: {WEIGHT: weight} for k, weight in enumerate(row)})


def _with_own(node: Merge, row: Sequence[float] | None) -> Merge:
    """The node with each model's own weight; without any where rules say all."""
    left = {name: value for name, value in node.parameters.items() if name != WEIGHT}
    models = []
    for k, operand in enumerate(node.models):
        own = {name: value for name, value in operand.parameters.items() if name != WEIGHT}
        models.append(replace(operand, parameters=own if row is None else {**own, WEIGHT: row[k]}))
    return replace(node, models=tuple(models), parameters=left)


def shortest(value: float) -> float:
    """The number with the fewest digits that is the same in float32.

    Example:
        >>> shortest(0.30000001192092896)
        0.3
    """
    return float(str(np.float32(value)))
