"""Opened models as tables of leaves: the form in which merges, slices and nested merges meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from solera.arch import Architecture, identify
from solera.arch.values import LayerStack, Leaf
from solera.checkpoints.contract import Checkpoint
from solera.plan.tasks import Expr, Read, Status
from solera.recipe.values import Merge, Operand, Recipe, TokenizerSpec
from solera.types import DType, ModelRef, TensorSpec

Opener = Callable[[ModelRef], Checkpoint]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One leaf of a model table: what it is, how it is made, and how it came to be.

    `alias` names the leaf that this one is tied to when the file has no tensor for it.
    """

    leaf: Leaf
    expr: Expr
    status: Status = "copied"
    origin: str = ""
    alias: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ModelTable:
    """A model, opened or still to be merged: leaves by name, architecture, config.

    `tensors`: file tensor -> shape, in file order (of the layout model). `label` is its name in messages and draws.
    `patch`: what the config must say beside. `untied`: a leaf that the config ties now has values of its own.
    """

    label: str
    rows: Mapping[str, Row]
    architecture: Architecture
    checkpoint: Checkpoint
    stacks: tuple[LayerStack, ...]
    tensors: Mapping[str, tuple[int, ...]]
    untied: bool = False
    patch: Mapping[str, Any] = field(default_factory=dict)
    layer_sources: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def stack(self, name: str) -> LayerStack | None:
        """The layer stack of that name."""
        return next((s for s in self.stacks if s.name == name), None)

    @property
    def main_stack(self) -> LayerStack | None:
        """The stack that slices speak of: the text decoder where there are several."""
        for name in ("", "text", "decoder"):
            if found := self.stack(name):
                return found
        return self.stacks[0] if self.stacks else None


def references(recipe: Recipe) -> Iterator[ModelRef]:
    """Every model that a recipe names, in order of first mention, without repeats."""
    seen: dict[ModelRef, None] = {}
    for ref in _all_references(recipe):
        seen.setdefault(ref)
    yield from seen


def merging(recipe: Recipe) -> tuple[ModelRef, ...]:
    """The models whose tensors take part, the base (or the layout's model) first, without repeats."""
    node, first = recipe.merge, recipe.output.layout_from
    if isinstance(node.base, ModelRef):
        first = node.base
    found = dict.fromkeys(_of_node(node))
    return tuple(dict.fromkeys([*([first] if first in found else []), *found]))


def _all_references(recipe: Recipe) -> Iterator[ModelRef]:
    yield from _of_node(recipe.merge)
    if recipe.output.layout_from is not None:
        yield recipe.output.layout_from
    if recipe.tokenizer is not None:
        yield from _of_tokenizer(recipe.tokenizer)


def _of_node(node: Merge) -> Iterator[ModelRef]:
    operands: list[Operand] = list(node.models)
    for piece in node.slices:
        operands += [*([piece.base] if piece.base else []), *piece.sources]
    for model in (*([node.base] if node.base else []), *(o.model for o in operands)):
        yield from _of_node(model) if isinstance(model, Merge) else (model,)
    for module in node.modules.values():
        yield from _of_node(module)


def _of_tokenizer(spec: TokenizerSpec) -> Iterator[ModelRef]:
    if isinstance(spec.source, ModelRef):
        yield spec.source
    yield from (t.model for t in spec.tokens.values() if t.model is not None)


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """What names, shapes and config say of a model: shared by all fine-tunes that agree in them."""

    specs: Mapping[str, TensorSpec]
    config: Mapping[str, Any]
    architecture: Architecture
    leaves: tuple[Leaf, ...]
    stacks: tuple[LayerStack, ...]


_INCIDENTAL = ("_name_or_path", "dtype", "torch_dtype", "transformers_version", "use_cache")


@dataclass(eq=False)
class Describer:
    """Describes checkpoints, each kind once."""

    known: list[Description] = field(default_factory=list)

    def describe(self, checkpoint: Checkpoint) -> Description:
        """The description of a checkpoint, from an earlier one where names, shapes and config agree."""
        specs = checkpoint.specs
        config = {k: v for k, v in checkpoint.config.items() if k not in _INCIDENTAL}
        for found in self.known:
            if found.config == config and found.specs == specs:
                return found
        architecture = identify(checkpoint.config, specs)
        leaves = architecture.leaves(specs, checkpoint.config)
        made = Description(specs, config, architecture, leaves, architecture.stacks(checkpoint.config, specs))
        self.known.append(made)
        return made


def table_of(
    checkpoint: Checkpoint, label: str, cast: DType | None = None, describer: Describer | None = None
) -> ModelTable:
    """Describe an opened checkpoint leaf by leaf; tied heads get an alias row. Reads nothing.

    `cast` rounds wider float tensors to a type as they are read; `describer` remembers earlier models.
    """
    seen = (describer or Describer()).describe(checkpoint)
    rows = {leaf.name: _row(checkpoint, leaf, label, cast) for leaf in seen.leaves}
    rows = _with_aliases(rows, seen.architecture, checkpoint)
    shapes = {name: spec.shape for name, spec in seen.specs.items()}
    return ModelTable(label, rows, seen.architecture, checkpoint, seen.stacks, shapes)


def _row(checkpoint: Checkpoint, leaf: Leaf, label: str, cast: DType | None) -> Row:
    source = checkpoint.table[leaf.tensor]
    narrows = cast is not None and source.spec.dtype.is_float and source.spec.dtype.itemsize > cast.itemsize
    read = Read(source, leaf.shape, label, leaf.tensor, leaf.start, cast if narrows else None)
    return Row(leaf, read, "copied", label)


def _with_aliases(rows: dict[str, Row], arch: Architecture, checkpoint: Checkpoint) -> dict[str, Row]:
    """Give every tied leaf a row that reads the leaf it is tied to."""
    for name, target in arch.ties(checkpoint.config).items():
        source = rows.get(target)
        if source is None:
            continue
        present = rows.get(name)
        leaf = present.leaf if present else replace(source.leaf, name=name, tensor=name, role="head", place="after")
        rows[name] = Row(leaf, source.expr, "copied", source.origin, alias=target)
    return rows
