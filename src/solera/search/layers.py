"""Data-flow space: which layers of which models a token passes, in what order, and how its state is scaled between.

Source: "Evolutionary Optimization of Model Merging Recipes" (arXiv:2403.13187), section 3.2. The layers of all models
stand in one row, and the row r times after itself: T = M r slots. A slot is used where its indicator is positive. On
the way from layer i to layer j the hidden state is multiplied by W[i, j]. Embeddings, final norm and head are the first
model's, and so are the first and the last layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from solera.app.holding import open_again
from solera.app.slicing import sliced
from solera.errors import BadParameter, PlanError
from solera.plan.models import ModelTable, table_of
from solera.recipe.identity import digest
from solera.recipe.values import Case, Cases, Merge, Operand, Recipe
from solera.search.contract import Ground
from solera.search.space import Axis, Genome, Space
from solera.types import ModelRef

Scales = Literal["none", "layer", "matrix"]
"""No scales; one for each layer, on the way in; one for each pair of layers."""

SIGMA = 1 / 3
"""First step of CMA-ES in units of an indicator, whose range is 2."""

Layer = tuple[int, int]
"""(model, its layer)."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One layer of a path. `scale` multiplies the state that enters it."""

    model: int
    layer: int
    scale: float = 1.0


@dataclass(frozen=True)
class Layers:
    """Paths through the layers of models of one width.

    Attributes:
        models: the first gives embeddings, norm, head, and the path's ends.
        repeats: r, how often the row of layers stands after itself.
        scales: see `Scales`. reach: scales are searched in [1 - reach, 1 + reach].
        others: where indicators of slots begin that are not the first model's first row, in steps; those begin at 2.
        ends: force the first model's first and last layer.

    Raises:
        PlanError: the models do not fit each other. BadParameter: a setting is not usable.

    Differs:
        The paper starts the other slots at 0, so that half of them are used at first, and spends 12,800 evaluations;
        here they start at -2 steps, so that a search begins near the first model. `others=0` is the paper's.
        Scales are positive: a negative state cannot be written into the weights.
    """

    models: tuple[ModelRef, ...]
    repeats: int = 1
    scales: Scales = "matrix"
    reach: float = 0.5
    others: float = -2.0
    ends: bool = True
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        """Look at the models' headers."""
        if not self.models or self.repeats < 1:
            raise BadParameter("`--repeats` is not usable.", got=self.repeats, want="1 or more, and a model")
        if not 0 < self.reach < 1 or not -3 <= self.others <= 3:
            got = f"reach {self.reach}, others {self.others}"
            raise BadParameter("The ranges are not usable.", got=got, want="reach in (0, 1), others in [-3, 3]")
        _check([self._table(k) for k in range(len(self.models))])
        if self.scales != "none":
            outputs_of(self._table(0))
        plain = Recipe(Merge("passthrough", tuple(map(Operand, self.models))))
        object.__setattr__(self, "digest", f"{digest(plain)}-{self.repeats}-{self.scales}-{self.reach}-{self.ends}")

    def _table(self, model: int) -> ModelTable:
        ref = self.models[model]
        return table_of(open_again(ref), str(ref))

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Layers of each model."""
        stacks = [self._table(k).main_stack for k in range(len(self.models))]
        return tuple(stack.count if stack else 0 for stack in stacks)

    @cached_property
    def row(self) -> tuple[Layer, ...]:
        """All layers, model after model."""
        return tuple((k, layer) for k, count in enumerate(self.counts) for layer in range(count))

    @property
    def slots(self) -> tuple[Layer, ...]:
        """What stands at each of the T places."""
        return self.row * self.repeats

    @cached_property
    def space(self) -> Space:
        """Indicators in [-1, 1], then scales."""
        used = [Axis(f"use.{t}.{k}-{i}", -1.0, 1.0, self._start(t, k)) for t, (k, i) in enumerate(self.slots)]
        return Space((*used, *self._scale_axes()))

    def _start(self, slot: int, model: int) -> float:
        first = model == 0 and slot < len(self.row)
        return 2 * SIGMA if first else self.others * SIGMA

    def _scale_axes(self) -> list[Axis]:
        low, high = 1 - self.reach, 1 + self.reach
        names = {
            "none": [],
            "layer": [f"scale.{k}-{i}" for k, i in self.row],
            "matrix": [f"scale.{a}-{i}.{b}-{j}" for a, i in self.row for b, j in self.row],
        }
        return [Axis(name, low, high, 1.0) for name in names[self.scales]]

    def path(self, genome: Genome) -> tuple[Hop, ...]:
        """The layers of a genome, in order, with the scale of each.

        Raises:
            BadParameter: no slot is used.
        """
        count = len(self.slots)
        used = [layer for layer, value in zip(self.slots, genome[:count], strict=True) if float(value) > 0]
        if not used:
            raise BadParameter("No layer is used.", want="one positive indicator or more")
        if self.ends:
            first, last = (0, 0), (0, self.counts[0] - 1)
            used = [*([] if used[0] == first else [first]), *used, *([] if used[-1] == last else [last])]
        scales = [float(value) for value in genome[count:]]
        before = [None, *used[:-1]]
        return tuple(Hop(*now, self._scale(scales, past, now)) for past, now in zip(before, used, strict=True))

    def _scale(self, scales: Sequence[float], before: Layer | None, now: Layer) -> float:
        if before is None or self.scales == "none":
            return 1.0
        place = {layer: k for k, layer in enumerate(self.row)}
        if self.scales == "layer":
            return scales[place[now]]
        return scales[place[before] * len(self.row) + place[now]]

    def recipe(self, genome: Genome) -> Recipe:
        """The path as a merge of slices.

        A state that is scaled by s on its way is the same, but for the factor, as one that is not scaled and to which
        every later layer adds 1 / s of what it adds: layers begin with a norm, which a factor does not reach. So scales
        become factors of output projections.
        """
        return recipe_of(self.models, self.path(genome), () if self.scales == "none" else outputs_of(self._table(0)))

    def module(self, genome: Genome, ground: Ground, threads: int) -> Any:
        """A module that runs the path with the layers' own weights; nothing is copied."""
        from solera.search.stacking import stacked

        return stacked(ground, self.models, self.path(genome), threads)

    @property
    def indirect(self) -> bool:
        """Layers are run where they are; the recipe stacks copies, scales in the weights."""
        return True

    @property
    def parents(self) -> tuple[Recipe, ...]:
        """Each model by itself."""
        return tuple(Recipe(Merge("linear", (Operand(model),))) for model in self.models)


def recipe_of(models: Sequence[ModelRef], path: Sequence[Hop], outputs: Sequence[str]) -> Recipe:
    """Slices that make a path.

    Args:
        models: named by hops.
        path: one hop or more.
        outputs: parts of the names of output projections; needed where there are scales.

    Example:
        >>> recipe = recipe_of([ModelRef("a"), ModelRef("b")], [Hop(0, 0), Hop(0, 1), Hop(1, 1, 0.5)], ["o_proj"])
        >>> [(str(s.sources[0].model), s.sources[0].layers) for s in recipe.merge.slices]
        [('a', (0, 2)), ('b', (1, 2))]
        >>> recipe.merge.slices[1].sources[0].parameters["scale"].cases[0].value
        2.0
    """
    total, rows = 1.0, []
    for hop in path:
        total *= hop.scale
        rows.append(((Operand(models[hop.model], _settings(1 / total, outputs)), hop.layer),))
    return sliced("passthrough", rows)


def _settings(factor: float, outputs: Sequence[str]) -> Mapping[str, Any]:
    """What multiplies the output projections, where anything does."""
    return {} if factor == 1.0 else {"scale": Cases((*(Case(name, factor) for name in outputs), Case(None, 1.0)))}


def outputs_of(table: ModelTable) -> tuple[str, ...]:
    """Parts of the names of the projections by which layers add to the state.

    Raises:
        PlanError: the architecture has none that are known, or its layers do not begin with a norm.
    """
    roles = ("attention.o", "mlp.down", "expert.down")
    leaves = list(table.own_leaves())
    ends_in_norm = any(leaf.role == "norm" and leaf.place == "after" for leaf in leaves)
    begins_in_norm = any(leaf.role == "norm" and leaf.place == "before" and "pre" not in leaf.name for leaf in leaves)
    inside = [leaf for leaf in leaves if leaf.layer == 0 and leaf.role in roles]
    norms = {leaf.name for leaf in leaves if leaf.layer == 0 and leaf.role == "norm" and "bias" not in leaf.name}
    if (
        begins_in_norm
        or not ends_in_norm
        or not inside
        or len([n for n in norms if "q_norm" not in n and "k_norm" not in n]) != 2
    ):
        raise PlanError(
            "Scales need layers that begin with norms and add to the state.", got=table.architecture.name,
            fix="search without them: --scales none",
        )  # fmt: skip
    return tuple(dict.fromkeys(_tail(leaf.name) for leaf in inside))


def _tail(name: str) -> str:
    """A module's name inside its layer: ``model.layers.0.mlp.down_proj.weight`` gives ``.mlp.down_proj.``."""
    inside = name.rpartition(".0.")[2].rpartition(".")[0]
    return f".{inside}."


def _check(tables: Sequence[ModelTable]) -> None:
    """Refuse models whose layers cannot follow each other."""
    first = _shapes(tables[0])
    if not first:
        raise PlanError("The model has no layers that are known.", where=tables[0].label)
    for table in tables[1:]:
        if _shapes(table) != first:
            raise PlanError(
                "The models' layers do not fit each other.", where=table.label,
                want=f"layers like those of {tables[0].label}", fix="search layers of fine-tunes of one base",
            )  # fmt: skip


def _shapes(table: ModelTable) -> dict[str, tuple[int, ...]]:
    return {leaf.name: leaf.shape for leaf in table.own_leaves() if leaf.layer == 0}
