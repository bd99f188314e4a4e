"""Genome <-> recipe: where each gene stands in a recipe, how it gets there, and how it is read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from solera.errors import BadParameter
from solera.recipe.values import Match, Recipe, Rule, Settings
from solera.search.space import Axis, Genome, Space, Value


@dataclass(frozen=True, slots=True)
class Target:
    """Where a gene stands: a parameter, of one model or of all, for the tensors that match (None: for all)."""

    parameter: str
    model: int | None = None
    match: Match | None = None


@dataclass(frozen=True, slots=True)
class Gene:
    """A range and its place in a recipe."""

    axis: Axis
    target: Target


@dataclass(frozen=True, slots=True)
class Genes:
    """A recipe with places for genes: genome -> recipe and back.

    Attributes:
        recipe: what stays. genes: what changes.

    Example:
        >>> from solera.recipe import parse
        >>> recipe = parse("{method: task_arithmetic, base: o/b, models: [o/x, o/y]}")
        >>> first = Gene(Axis("weight.x"), Target("weight", 0))
        >>> middle = Gene(Axis("weight.y.layers.0-1"), Target("weight", 1, Match(layers=(0, 1))))
        >>> genes = Genes(recipe, (first, middle))
        >>> made = genes.decode((0.3, 0.7))
        >>> made.merge.models[0].parameters, made.merge.rules[0].model_parameters
        ({'weight': 0.3}, {1: {'weight': 0.7}})
        >>> genes.encode(made)
        (0.3, 0.7)
    """

    recipe: Recipe
    genes: tuple[Gene, ...]
    space: Space = field(init=False)

    def __post_init__(self) -> None:
        """Check that the recipe lists models, and make the space.

        Raises:
            BadParameter: the recipe has slices or modules, or there are no genes.
        """
        if not self.recipe.merge.models:
            raise BadParameter(
                "The recipe cannot be searched.", where=self.recipe.source, want="a method over a list of models"
            )
        object.__setattr__(self, "space", Space(tuple(gene.axis for gene in self.genes)))

    def decode(self, genome: Genome) -> Recipe:
        """The recipe of a genome."""
        values = list(zip((gene.target for gene in self.genes), genome, strict=True))
        node = self.recipe.merge
        everywhere = [(target, value) for target, value in values if target.match is None]
        shared = {target.parameter: value for target, value in everywhere if target.model is None}
        operands = tuple(
            replace(operand, parameters={**operand.parameters, **_of_model(everywhere, k)})
            for k, operand in enumerate(node.models)
        )
        rules = tuple(_rule(match, values) for match in self._matches())
        node = replace(
            node, models=operands, parameters={**node.parameters, **shared}, rules=(*node.rules, *rules), where=""
        )
        return replace(self.recipe, merge=node, text="", source="")

    def encode(self, recipe: Recipe) -> Genome:
        """The genome of a recipe that `decode` made.

        Raises:
            BadParameter: a gene has no value in the recipe, or one outside its range.
        """
        return self.space.check([_value(recipe, gene) for gene in self.genes])

    def _matches(self) -> Sequence[Match]:
        return list(dict.fromkeys(g.target.match for g in self.genes if g.target.match is not None))


_Values = Sequence[tuple[Target, Value]]


def _of_model(values: _Values, model: int) -> dict[str, Value]:
    return {target.parameter: value for target, value in values if target.model == model}


def _rule(match: Match, values: _Values) -> Rule:
    mine = [(target, value) for target, value in values if target.match == match]
    models = sorted({target.model for target, _ in mine if target.model is not None})
    shared = {target.parameter: value for target, value in mine if target.model is None}
    return Rule(match, parameters=shared, model_parameters={k: _of_model(mine, k) for k in models})


def _value(recipe: Recipe, gene: Gene) -> Value:
    settings = _settings(recipe, gene.target)
    found = settings.get(gene.target.parameter)
    if not isinstance(found, (float, int, str, bool)):
        raise BadParameter("The recipe is of another space.", where=recipe.source, want=f"a value of {gene.axis.name}")
    return found


def _settings(recipe: Recipe, target: Target) -> Settings:
    node = recipe.merge
    if target.match is None:
        if target.model is None:
            return node.parameters
        return node.models[target.model].parameters if target.model < len(node.models) else {}
    rule = next((rule for rule in reversed(node.rules) if rule.match == target.match), None)
    if rule is None:
        return {}
    none: Mapping[int, Settings] = {}
    return rule.parameters if target.model is None else (rule.model_parameters or none).get(target.model, {})
