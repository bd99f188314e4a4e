"""From the user's recipe to the one whose coefficients are learnt; what cannot be learnt is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from solera.errors import PlanError
from solera.learn.coefficients.contract import LearnCard
from solera.learn.coefficients.groups import WEIGHT
from solera.recipe.values import Match, Merge, Recipe, Rule, StepUse
from solera.types import ModelRef

METHOD = "task_arithmetic"
COPY = "copy"
_WANT = f"`method: {METHOD}`, or `steps` with `weigh` and then `add_models`"


def prepared(recipe: Recipe, card: LearnCard, frozen: Sequence[Match] | None = None) -> Recipe:
    """The recipe in the form in which its coefficients are learnt.

    What the learner does to task vectors becomes steps of the recipe; what it freezes becomes rules that copy the base.

    Args:
        recipe: lists models and names a base.
        card: of the learner.
        frozen: what keeps the base's values; None: as the learner has it.

    Raises:
        PlanError: the merge is not linear in its coefficients, has no base, or sets coefficients by rules.

    Example:
        >>> from solera.learn.coefficients.learners import learner
        >>> from solera.recipe import parse
        >>> recipe = parse("{method: task_arithmetic, base: x, models: [a, b]}")
        >>> [use.name for use in prepared(recipe, learner("adamerging_plus_plus")).merge.steps]
        ['trim', 'elect_sign', 'weigh', 'add_models']
    """
    node = recipe.merge
    _check_form(node)
    _check_method(node, card)
    _check_rules(node)
    if card.vectors:
        node = replace(node, method="steps", steps=(*card.vectors, StepUse("weigh"), StepUse("add_models")))
        node = replace(node, parameters={})
    kept = card.frozen if frozen is None else frozen
    rules = (*(Rule(match, method=COPY) for match in kept), *node.rules)
    return replace(recipe, merge=replace(node, rules=rules))


def _check_form(node: Merge) -> None:
    if not isinstance(node.base, ModelRef):
        fix = "add `base: MODEL`, the model that all were fine-tuned from"
        raise PlanError("Coefficients of task vectors need a base.", where=node.where, want="a model", fix=fix)
    odd = {"slices": node.slices, "modules": node.modules, "wrap": node.wrap}
    for name in (name for name, value in odd.items() if value):
        raise PlanError("This merge cannot be learnt.", where=node.where, got=f"`{name}`", want="`models` and a method")
    if not node.models:
        raise PlanError("There are no models.", where=node.where, want="one or more")


def _check_method(node: Merge, card: LearnCard) -> None:
    if node.method != METHOD and not node.steps:
        raise PlanError("The merge is not linear in its coefficients.", where=node.where, got=node.title, want=_WANT)
    names = [use.name for use in node.steps]
    if names and (names.count("weigh") != 1 or names[-2:] != ["weigh", "add_models"]):
        raise PlanError("The merge is not linear in its coefficients.", where=node.where, got=node.title, want=_WANT)
    if card.vectors and node.steps:
        fix = f"name `method: {METHOD}`: {card.name} brings its own steps"
        raise PlanError("The steps are given twice.", where=node.where, got=node.title, fix=fix)
    every = (node.parameters, *(use.parameters for use in node.steps))
    if any(values.get("normalize") for values in every):
        raise PlanError(
            "Coefficients that are divided by their sum cannot be learnt.", where=node.where, fix="remove `normalize`"
        )


def _check_rules(node: Merge) -> None:
    for number, rule in enumerate(node.rules, 1):
        own = (rule.parameters, *rule.model_parameters.values())
        if rule.method not in (None, COPY) or rule.wrap or any(WEIGHT in values for values in own):
            got = f"rule {number}: " + (f"method {rule.method}" if rule.method else f"`{WEIGHT}`")
            fix = "leave such tensors to a second merge, or keep them with `method: copy`"
            raise PlanError("A rule stands beside what is learnt.", where=node.where, got=got, want="`copy`", fix=fix)
