"""Opened models as tables of leaves: the form in which merges, slices and nested merges meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from solera.arch import Architecture, identify
from solera.arch.values import LayerStack, Leaf
from solera.checkpoints.contract import Checkpoint
from solera.checkpoints.file_table import FileTable
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
class Place:
    """A leaf of an opened model: itself, the leaf whose elements it reads, and that one's name where it is tied."""

    leaf: Leaf
    read: Leaf
    alias: str | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Rows(Mapping[str, Row]):
    """The rows of an opened model, made when they are asked for.

    `places` is one mapping for all models that agree in names, shapes and config.
    """

    places: Mapping[str, Place]
    checkpoint: Checkpoint
    label: str
    cast: DType | None = None

    def __getitem__(self, name: str) -> Row:
        """The row of a leaf; KeyError where there is none."""
        place = self.places[name]
        source = self.checkpoint.table[place.read.tensor]
        stored = source.spec.dtype
        cast = self.cast if self.cast and stored.is_float and stored.itemsize > self.cast.itemsize else None
        read = Read(source, place.read.shape, self.label, place.read.tensor, place.read.start, cast)
        return Row(place.leaf, read, "copied", self.label, place.alias)

    def __iter__(self) -> Iterator[str]:
        """Leaf names."""
        return iter(self.places)

    def __len__(self) -> int:
        """Number of leaves."""
        return len(self.places)

    def __contains__(self, name: object) -> bool:
        """Whether there is a leaf of that name."""
        return name in self.places

    def is_twin_of(self, other: Mapping[str, Row]) -> bool:
        """Whether both say the same of every leaf, but for the file."""
        mine = self.checkpoint.table
        if not isinstance(other, Rows) or not isinstance(mine, FileTable) or self.places is not other.places:
            return False
        theirs = other.checkpoint.table
        return isinstance(theirs, FileTable) and mine.layout is theirs.layout and self.cast is other.cast


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

    @property
    def places(self) -> Mapping[str, Row | Place]:
        """What is known of every leaf without making its row; one mapping for opened models that agree in it."""
        return self.rows.places if isinstance(self.rows, Rows) else self.rows

    def leaves(self) -> Iterator[Leaf]:
        """All leaves; no row is made for it."""
        return (place.leaf for place in self.places.values())

    def own_leaves(self) -> Iterator[Leaf]:
        """Leaves that are tied to no other."""
        return (place.leaf for place in self.places.values() if place.alias is None)

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
    places: Mapping[str, Place]
    stacks: tuple[LayerStack, ...]
    shapes: Mapping[str, tuple[int, ...]]


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
            if found.config == config and (found.specs is specs or found.specs == specs):
                return found
        architecture = identify(checkpoint.config, specs)
        leaves, stacks = architecture.describe(specs, checkpoint.config)
        places = _places(leaves, architecture.ties(checkpoint.config))
        shapes = {name: spec.shape for name, spec in specs.items()}
        made = Description(specs, config, architecture, places, stacks, shapes)
        self.known.append(made)
        return made


def table_of(
    checkpoint: Checkpoint, label: str, cast: DType | None = None, describer: Describer | None = None
) -> ModelTable:
    """Describe an opened checkpoint leaf by leaf; tied heads get an alias row. Reads nothing.

    `cast` rounds wider float tensors to a type as they are read; `describer` remembers earlier models.
    """
    seen = (describer or Describer()).describe(checkpoint)
    rows = Rows(seen.places, checkpoint, label, cast)
    return ModelTable(label, rows, seen.architecture, checkpoint, seen.stacks, seen.shapes)


def _places(leaves: Sequence[Leaf], ties: Mapping[str, str]) -> dict[str, Place]:
    """Every leaf, and for every tied one a place that reads the leaf it is tied to."""
    places = {leaf.name: Place(leaf, leaf) for leaf in leaves}
    for name, target in ties.items():
        source = places.get(target)
        if source is None:
            continue
        present = places.get(name)
        leaf = present.leaf if present else replace(source.leaf, name=name, tensor=name, role="head", place="after")
        places[name] = Place(leaf, source.read, target)
    return places
