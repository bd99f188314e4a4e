"""Parameter space: genomes are coefficients of a merge, which is made in memory and swapped into one module.

Source: "Evolutionary Optimization of Model Merging Recipes" (arXiv:2403.13187), section 3.1. There the method is
DARE-TIES, with a weight and a density for each model, all started at 0.5; here any method of the registry, with any of
its parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from solera.plan.models import references
from solera.recipe.identity import digest
from solera.recipe.values import Merge, Operand, Recipe
from solera.search.contract import Ground
from solera.search.genome import Genes
from solera.search.space import Genome, Space
from solera.search.working import merged
from solera.types import ModelRef


@dataclass(frozen=True, slots=True)
class Merging:
    """A recipe whose genes are searched. The ground's module must have the shape of what the recipe makes.

    Attributes:
        genes: recipe and genes. digest: of the recipe.
    """

    genes: Genes
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        """Take the digest once."""
        object.__setattr__(self, "digest", digest(self.genes.recipe))

    @property
    def space(self) -> Space:
        """What is searched."""
        return self.genes.space

    def recipe(self, genome: Genome) -> Recipe:
        """The recipe of a genome."""
        return self.genes.decode(genome)

    def module(self, genome: Genome, ground: Ground, threads: int) -> Any:
        """The ground's module with the merged weights; no file is written."""
        return merged(ground, self.recipe(genome), threads)

    @property
    def indirect(self) -> bool:
        """The recipe is what is run."""
        return False

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """All models of the recipe, its base too."""
        return tuple(references(self.genes.recipe))

    @property
    def parents(self) -> tuple[Recipe, ...]:
        """Each of the recipe's models by itself."""
        return tuple(alone(operand.model) for operand in self.genes.recipe.merge.models)


def alone(model: ModelRef | Merge) -> Recipe:
    """A recipe that makes one model as it is."""
    return Recipe(model) if isinstance(model, Merge) else Recipe(Merge("linear", (Operand(model),)))
