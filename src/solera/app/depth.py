"""Fewer layers: from what layers do on data to a recipe that merges neighbours (MKA), and one that drops them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.app.slicing import sliced
from solera.checkpoints import FileReader, digest_checkpoint, open_checkpoint
from solera.checkpoints.statistics import Statistics, file_for, open_statistics
from solera.errors import BadParameter, NotFound, PlanError
from solera.methods.depth.folding import Alpha, Fold, Joined, Pairs, check_words, fold, removed_count
from solera.methods.depth.similarity import layer_similarity
from solera.plan.models import ModelTable, table_of
from solera.recipe.values import Operand, Recipe
from solera.types import ModelRef

if TYPE_CHECKING:
    from torch import Tensor

STATISTIC = "layer_output"
NORMS = ("first", "average")
_COMMAND = "solera learn depth MODEL --data texts.jsonl --ratio 0.25 -o FOLDER"


@dataclass(frozen=True, slots=True, eq=False)
class Folding:
    """Which layers are merged, and the recipes that do it.

    Attributes:
        recipe: merges layers by `mka`. dropped: keeps the lowest layer of each fold and drops the others.
        layers: of the model. folds: one for each layer of the result. merges: in their order.
        similarity: of all pairs of layers. samples: examples that they were compared on.
    """

    model: ModelRef
    layers: int
    recipe: Recipe
    dropped: Recipe
    folds: tuple[Fold, ...]
    merges: tuple[Joined, ...]
    similarity: Tensor = field(repr=False)
    samples: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        from dataclasses import asdict

        return {
            "model": str(self.model),
            "layers": self.layers,
            "left": len(self.folds),
            "samples": self.samples,
            **self.settings,
            "folds": [asdict(one) for one in self.folds],
            "merges": [asdict(one) for one in self.merges],
            "similarity": [[round(value, 6) for value in row] for row in self.similarity.tolist()],
        }


def check_folding(
    model: str | ModelRef,
    *,
    ratio: float | None = None,
    remove: int | None = None,
    pairs: Pairs = "similar",
    alpha: Alpha = "similarity",
    norms: str = "first",
) -> int:
    """How many layers go: all that `fold_layers` refuses before statistics are looked at; headers only.

    Args:
        model: as there, and so are the rest.
        ratio: share of the layers that goes.
        remove: or how many go.
        pairs: similar, or last.
        alpha: share of the lower layer.
        norms: first, or average.

    Raises:
        BadParameter: a setting is out of range. PlanError: the model has no layers that are known.
        CheckpointError, NotFound: the model cannot be opened.
    """
    from solera.checkpoints.reference import parse_ref

    ref = parse_ref(model) if isinstance(model, str) else model
    return _removed(table_of(open_checkpoint(ref), str(ref)), (ratio, remove), pairs, alpha, norms)


def _removed(table: ModelTable, wanted: tuple[float | None, int | None], pairs: Pairs, alpha: Alpha, norms: str) -> int:
    """How many layers go, once every setting is found usable."""
    check_words(pairs, alpha)
    if norms not in NORMS:
        raise BadParameter("`norms` is not usable.", got=norms, want=" or ".join(NORMS))
    return removed_count(_layers(table), ratio=wanted[0], remove=wanted[1])


def fold_layers(
    model: str | ModelRef,
    statistics: str | Path,
    *,
    ratio: float | None = None,
    remove: int | None = None,
    pairs: Pairs = "similar",
    alpha: Alpha = "similarity",
    norms: str = "first",
) -> Folding:
    """Choose which neighbouring layers of a model are merged; no weight is read but to identify the model.

    Args:
        model: a folder or Hub id, adapters allowed.
        statistics: `layer_output` of this very model: a file, or the folder that holds it.
        ratio: share of the layers that goes.
        remove: or how many go.
        pairs: merge the most similar neighbours, or always the last two.
        alpha: share of the lower layer: similarity, sigmoid, or a number.
        norms: first, or average: see the method `mka`.

    Raises:
        NotFound: there are no statistics. PlanError: they are of another model, layers cannot be told apart or merged.
        BadParameter: a setting is out of range, too few examples. CheckpointError: the model cannot be opened.

    Cost: see `layer_similarity`.
    """
    from solera.checkpoints.reference import parse_ref

    ref = parse_ref(model) if isinstance(model, str) else model
    checkpoint = open_checkpoint(ref)
    table = table_of(checkpoint, str(ref))
    count = _removed(table, (ratio, remove), pairs, alpha, norms)
    found = _opened(statistics, str(ref))
    digest = digest_checkpoint(checkpoint).root
    if found.manifest.model_digest != digest:
        got, want = found.manifest.model_digest[:12], digest[:12]
        raise PlanError("The statistics are of another model.", where=found.path, got=got, want=want, fix=_COMMAND)
    alike = layer_similarity(_outputs(found, table))
    folds, merges = fold(alike, count, pairs=pairs, alpha=alpha, kinds=_kinds(table))
    settings = {"pairs": pairs, "alpha": alpha, "norms": norms, "statistics": str(found.path)}
    return Folding(
        ref, _layers(table), recipe_of(ref, folds, norms), dropped_of(ref, folds), folds, merges, alike,
        found.manifest.samples, settings,
    )  # fmt: skip


def recipe_of(model: ModelRef, folds: tuple[Fold, ...], norms: str = "first") -> Recipe:
    """The folds as slices that `mka` merges.

    Example:
        >>> recipe = recipe_of(ModelRef("m"), (Fold((0,), (1.0,)), Fold((1, 2), (0.75, 0.25))))
        >>> [(s.layers, dict(s.parameters)) for s in recipe.merge.slices[1].sources]
        [((1, 2), {'weight': 0.75}), ((2, 3), {'weight': 0.25})]
    """
    rows = [
        tuple((_operand(model, share, one), layer) for layer, share in zip(one.layers, one.shares, strict=True))
        for one in folds
    ]
    return sliced("mka", rows, {"norms": norms} if norms != "first" else {})


def _operand(model: ModelRef, share: float, one: Fold) -> Operand:
    return Operand(model, {"weight": share} if len(one.layers) > 1 else {})


def dropped_of(model: ModelRef, folds: tuple[Fold, ...]) -> Recipe:
    """The lowest layer of each fold, alone: what merging must beat."""
    return sliced("passthrough", [((Operand(model), one.layers[0]),) for one in folds])


def _layers(table: ModelTable) -> int:
    stack = table.main_stack
    if stack is None or stack.count_key is None:
        want = "an architecture whose config says how many layers there are"
        raise PlanError("The model has no layers that are known.", where=table.label, want=want)
    return stack.count


def _opened(place: str | Path, model: str) -> Statistics:
    file = file_for(place, STATISTIC)
    if file is None:
        raise NotFound(
            "There are no measurements of layers.", where=place, want=f"{STATISTIC} of {model}", fix=_COMMAND
        )
    found = open_statistics(file)
    if found.manifest.kind != STATISTIC:
        raise BadParameter("The statistics are of another kind.", where=file, got=found.manifest.kind, want=STATISTIC)
    return found


def _outputs(found: Statistics, table: ModelTable) -> Tensor:
    """(layers, examples, channels), in the order of the layers."""
    import torch

    names = _names(table)
    if missing := [name for name in names if name not in found.table]:
        fix = "the model gives nothing there, or the file was cut"
        raise PlanError("A layer was not measured.", where=found.path, got=", ".join(missing[:3]), fix=fix)
    sources = [found.table[name] for name in names]
    with FileReader() as reader:
        return torch.stack([one.read(reader, 0, one.spec.numel).reshape(one.spec.shape) for one in sources])


def _names(table: ModelTable) -> list[str]:
    stack = table.main_stack
    assert stack is not None
    rule = next(rule for rule in table.architecture.plan.stacks if rule.name == stack.name)
    return [rule.prefix.replace("{layer}", str(layer)) for layer in range(stack.count)]


def _kinds(table: ModelTable) -> list[Hashable]:
    """What must be equal for two layers to be merged: shapes of their tensors, and entries in the config's lists."""
    stack = table.main_stack
    assert stack is not None
    config = table.checkpoint.config
    lists = [_at(config, key) for key in stack.per_layer_keys]
    names = _names(table)
    shapes: list[list[tuple[str, tuple[int, ...]]]] = [[] for _ in names]
    for leaf in table.own_leaves():
        if leaf.stack == stack.name and leaf.layer is not None:
            shapes[leaf.layer].append((leaf.name.removeprefix(names[leaf.layer]), leaf.shape))
    return [
        (tuple(sorted(shapes[layer])), tuple(repr(row[layer]) for row in lists if layer < len(row)))
        for layer in range(stack.count)
    ]


def _at(config: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config
