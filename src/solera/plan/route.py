"""Routing: for every output leaf of a node, which leaf of which operand takes part, at which place in the layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from solera.arch.values import Leaf
from solera.errors import PlanError
from solera.plan.bind import Scope
from solera.plan.models import ModelTable, Row, Rows
from solera.plan.tasks import Kin
from solera.recipe.values import Merge, Operand, Settings, Slice
from solera.types import ModelRef


class Source(NamedTuple):
    """One operand's contribution to a leaf: the table and the row (None: the model lacks the leaf)."""

    table: ModelTable
    row: Row | None
    name: str


class Route(NamedTuple):
    """Everything that decides one output leaf.

    `kin` is set where all operands and the base are twins of the layout: no operand is looked up for every leaf then,
    `sources` is empty, and `first` is the first operand's table.
    """

    leaf: Leaf
    layout: Row
    sources: tuple[Source, ...]
    base: Source | None
    scope: Scope
    kin: Kin | None = None
    first: ModelTable | None = None

    def first_row(self) -> Row | None:
        """The first operand's row."""
        return self.sources[0].row if self.first is None else self.first.rows.get(self.leaf.name)


Tables = Callable[[ModelRef | Merge], ModelTable]
"""Finds the table of an operand: an opened model, or a nested merge."""


def position(leaf: Leaf, count: int, index: int | None, *, mergekit: bool) -> float:
    """Place of a leaf in the layers, 0..1, at which gradients are read.

    Layer k of n is at k / (n - 1), and 1 when n is 1. Outside the layers: 0 before; after them 1, but 0 in the
    mergekit dialect.
    """
    if index is None:
        return 1.0 if leaf.place == "after" and not mergekit else 0.0
    return 1.0 if count == 1 else index / (count - 1)


def routes(
    node: Merge,
    layout: ModelTable,
    operands: Sequence[ModelTable],
    tables: Tables,
    outer: tuple[Settings, ...],
    *,
    mergekit: bool,
) -> Iterator[Route]:
    """Route every leaf of a node that lists models, which are `operands`, or slices."""
    if node.slices:
        yield from _slice_routes(node, tables, outer, mergekit=mergekit)
        return
    based = None if node.base is None else tables(node.base)
    counts = {stack.name: stack.count for stack in layout.stacks}
    kin = _kin(layout, operands, based)
    taking, first = ((), operands[0]) if kin else (operands, None)
    own, around = tuple(o.parameters for o in node.models), (node.parameters, *outer)
    scopes: dict[float, Scope] = {}

    def take(table: ModelTable, row: Row) -> Source:
        return Source(table, row, row.leaf.name) if table is layout else _take(table, row.leaf.name)

    for row in layout.rows.values():
        leaf = row.leaf
        place = position(leaf, counts.get(leaf.stack, 1), leaf.layer, mergekit=mergekit)
        scope = scopes.get(place) or scopes.setdefault(place, Scope(own, around, place))
        base = None if based is None else take(based, row)
        yield Route(leaf, row, tuple([take(table, row) for table in taking]), base, scope, kin, first)


def _kin(layout: ModelTable, operands: Sequence[ModelTable], base: ModelTable | None) -> Kin | None:
    """The operands as kin, where the files of all, the base and the layout model are laid out alike."""
    taking = [*operands, *([] if base is None else [base])]
    if not operands or not all(isinstance(t.rows, Rows) and t.rows.is_twin_of(layout.rows) for t in taking):
        return None
    labels = tuple(t.label for t in operands)
    return Kin(labels, with_ordinals(labels), tuple(t.checkpoint.table for t in operands))


def with_ordinals(labels: Sequence[str]) -> tuple[str, ...]:
    """Ids of operands for draws; copies of one model are told apart.

    Example:
        >>> with_ordinals(["a", "b", "a"])
        ('a#0', 'b#0', 'a#1')
    """
    seen: Counter[str] = Counter()
    ids = []
    for label in labels:
        ids.append(f"{label}#{seen[label]}")
        seen[label] += 1
    return tuple(ids)


def _take(table: ModelTable, name: str) -> Source:
    return Source(table, table.rows.get(name), name)


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A slice with its operands opened: ranges are half-open, `offset` is the first output layer."""

    spec: Slice
    tables: tuple[ModelTable, ...]
    ranges: tuple[tuple[int, int], ...]
    base: tuple[ModelTable, int] | None
    offset: int

    @property
    def length(self) -> int:
        return self.ranges[0][1] - self.ranges[0][0]


def _slice_routes(node: Merge, tables: Tables, outer: tuple[Settings, ...], *, mergekit: bool) -> Iterator[Route]:
    pieces = _pieces(node, tables)
    first, last = pieces[0], pieces[-1]
    lead = first.tables[0]
    stack = lead.main_stack
    name = stack.name if stack else ""
    for row in lead.rows.values():
        if row.leaf.layer is None or row.leaf.stack != name:
            piece = _closing(first, last, mergekit=mergekit) if row.leaf.place == "after" else first
            place = position(row.leaf, 1, None, mergekit=mergekit)
            yield _piece_route(node, piece, row, row.leaf, None, place, outer)
    for piece in pieces:
        yield from _layers_of(node, piece, name, outer, mergekit=mergekit)


def _closing(first: _Piece, last: _Piece, *, mergekit: bool) -> _Piece:
    """The slice that norm and head come from; mergekit drops its sources beyond the first slice's count."""
    count = len(first.tables)
    if not mergekit or len(last.tables) <= count:
        return last
    spec = replace(last.spec, sources=last.spec.sources[:count])
    return replace(last, spec=spec, tables=last.tables[:count], ranges=last.ranges[:count])


def _layers_of(
    node: Merge, piece: _Piece, stack: str, outer: tuple[Settings, ...], *, mergekit: bool
) -> Iterator[Route]:
    lead, begin = piece.tables[0], piece.ranges[0][0]
    by_layer: dict[int, list[Row]] = {}
    for row in lead.rows.values():
        if row.leaf.stack == stack and row.leaf.layer is not None:
            by_layer.setdefault(row.leaf.layer, []).append(row)
    for k in range(piece.length):
        for row in by_layer.get(begin + k, []):
            place = position(row.leaf, piece.length, k, mergekit=mergekit)
            yield _piece_route(node, piece, row, _moved(lead, row.leaf, piece.offset + k), k, place, outer)


def _moved(table: ModelTable, leaf: Leaf, layer: int) -> Leaf:
    """The leaf as it is named at another layer of the output."""
    arch = table.architecture
    return replace(
        leaf,
        name=arch.with_layer_leaf(leaf.name, layer, leaf.stack),
        tensor=arch.with_layer(leaf.tensor, layer, leaf.stack),
        layer=layer,
    )


def _piece_route(
    node: Merge, piece: _Piece, row: Row, leaf: Leaf, k: int | None, place: float, outer: tuple[Settings, ...]
) -> Route:
    def at(table: ModelTable, begin: int) -> Source:
        name = (
            row.leaf.name if k is None else table.architecture.with_layer_leaf(row.leaf.name, begin + k, row.leaf.stack)
        )
        return _take(table, name)

    sources = tuple(at(t, r[0]) for t, r in zip(piece.tables, piece.ranges, strict=True))
    base = None if piece.base is None else at(*piece.base)
    scope = Scope(
        tuple(s.parameters for s in piece.spec.sources), (piece.spec.parameters, node.parameters, *outer), place
    )
    return Route(leaf, row, sources, base, scope)


def _pieces(node: Merge, tables: Tables) -> list[_Piece]:
    pieces: list[_Piece] = []
    offset = 0
    for number, spec in enumerate(node.slices):
        opened = tuple(tables(s.model) for s in spec.sources)
        ranges = tuple(_range(s, t, number, node.where) for s, t in zip(spec.sources, opened, strict=True))
        if len({b - a for a, b in ranges}) > 1:
            raise PlanError(
                f"slice {number + 1}: sources have different numbers of layers.",
                where=node.where,
                got=", ".join(f"{t.label} {a}-{b}" for t, (a, b) in zip(opened, ranges, strict=True)),
                want="ranges of one length",
                fix="make every layer_range of the slice equally long",
            )
        piece = _Piece(spec, opened, ranges, _base_of(node, spec, tables, ranges[0][0]), offset)
        pieces.append(piece)
        offset += piece.length
    return pieces


def _base_of(node: Merge, spec: Slice, tables: Tables, begin: int) -> tuple[ModelTable, int] | None:
    if spec.base is not None:
        return tables(spec.base.model), spec.base.layers[0] if spec.base.layers else begin
    return None if node.base is None else (tables(node.base), begin)


def _range(operand: Operand, table: ModelTable, number: int, where: str) -> tuple[int, int]:
    stack = table.main_stack
    count = stack.count if stack else 0
    low, high = operand.layers or (0, count)
    if not 0 <= low <= high <= count:
        raise PlanError(
            f"slice {number + 1} asks {table.label} for layers that it does not have.",
            where=where,
            got=f"layers {low} to {high - 1}",
            want=f"layers within 0 to {count - 1}",
            fix=f"it has {count} layers: at most `layers: 0-{count - 1}`, or `layer_range: [0, {count}]`",
        )
    return low, high
