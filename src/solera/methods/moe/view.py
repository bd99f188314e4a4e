"""A model with other experts as a view: nothing is read until it is written, expert by expert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from solera.arch import Leaf
from solera.checkpoints.contract import ByteReader, Checkpoint, Source
from solera.checkpoints.ranges import torch_dtype
from solera.checkpoints.views import Concat, Part
from solera.errors import NonFinite, PlanError
from solera.methods.moe.contract import Group, Grouping
from solera.methods.moe.layout import ExpertLayer, ExpertModel
from solera.types import DType, TensorSpec

if TYPE_CHECKING:
    from torch import Tensor

Rows = Literal["mean", "leader", "every"]
"""What becomes of the router: a group's row is the weighted mean of its members', its leader's, or all rows stay."""
Orders = Mapping[tuple[str, int], "Tensor"]
"""(leaf of a router's weight, expert) -> the order that its neurons are read in."""

_BLOCK = 1 << 22
"""Elements that are added at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """A weighted sum of tensors of one shape, in float64, rounded once.

    Attributes:
        name: for messages. parts: what is added. weights: of each. moved: (axis, index) by which a part is reordered.

    Example:
        >>> import torch
        >>> from solera.checkpoints.ranges import MemorySource
        >>> parts = tuple(MemorySource(torch.full((2, 1), value)) for value in (1.0, 5.0))
        >>> Mixed("w", parts, (0.75, 0.25)).read(None, 0, 2)
        tensor([2., 2.])
    """

    name: str
    parts: tuple[Source, ...]
    weights: tuple[float, ...]
    moved: tuple[tuple[int, Tensor] | None, ...] = ()

    @property
    def spec(self) -> TensorSpec:
        """As the first part."""
        return self.parts[0].spec

    @property
    def natural(self) -> DType:
        """As the first part."""
        return self.parts[0].natural

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """The sum; where parts are reordered they are read whole, whatever slice is asked.

        Raises:
            NonFinite: a part holds NaN or infinity.
        """
        import torch

        given = [self._part(k, reader, start, stop) for k in range(len(self.parts))]
        out = torch.empty(stop - start, dtype=torch_dtype(self.spec.dtype))
        for begin in range(0, stop - start, _BLOCK):
            here = slice(begin, min(begin + _BLOCK, stop - start))
            total = given[0][here].to(torch.float64) * self.weights[0]
            for values, weight in zip(given[1:], self.weights[1:], strict=True):
                total += values[here].to(torch.float64) * weight
            out[here] = total.to(out.dtype)
        if not bool(torch.isfinite(out).all()):
            raise NonFinite(f"{self.name} holds a value that is not finite.", fix="repair that model")
        return out

    def cost_bytes(self, start: int, stop: int) -> int:
        """Sum over the parts; a part that is reordered is read whole."""
        whole, moved = (0, self.spec.numel), self.moved or (None,) * len(self.parts)
        spans = ((start, stop) if each is None or stop <= start else whole for each in moved)
        return sum(part.cost_bytes(*span) for part, span in zip(self.parts, spans, strict=True))

    def _part(self, k: int, reader: ByteReader, start: int, stop: int) -> Tensor:
        moved = self.moved[k] if self.moved else None
        if moved is None:
            return self.parts[k].read(reader, start, stop)
        whole = self.parts[k].read(reader, 0, self.spec.numel).reshape(self.spec.shape)
        return whole.index_select(*moved).reshape(-1)[start:stop]


def reduced(
    model: Checkpoint, experts: ExpertModel, grouping: Grouping, *, rows: Rows = "mean", orders: Orders | None = None
) -> Checkpoint:
    """The model with one expert for every group; experts in no group are left out. Nothing is read.

    A group of one keeps its bits. With `rows` "every" no expert is left out and all slots stay: the members of a group
    hold equal weights, and the router is as it was.

    Args:
        model: an opened model.
        experts: what `experts_of` says of it.
        grouping: for every layer with experts.
        rows: what becomes of the router's rows.
        orders: in which members' neurons are read; experts that are not named keep theirs.

    Raises:
        PlanError: layers would differ in their number of experts; with "every", an expert is in no group.
    """
    made = _Made(model, rows, orders or {})
    table: dict[str, Source] = dict(model.table)
    counts = set()
    for layer in experts.layers:
        slots = slots_of(grouping[layer.router.name], experts.experts, rows)
        counts.add(len(slots))
        _put_experts(table, made, experts, layer, slots)
        if rows != "every":
            _put_router(table, made, layer, slots)
    if len(counts) != 1:
        want = "one number of experts for all layers"
        fix = "keep every slot: --router every"
        raise PlanError("Layers would keep different numbers of experts.", got=sorted(counts), want=want, fix=fix)
    patch: dict[str, Any] = {**model.config_patch, **dict.fromkeys(experts.count_keys, counts.pop())}
    return replace(model, table=table, config_patch=patch, weak_id="")


def slots_of(groups: Sequence[Group], experts: int, rows: Rows) -> tuple[Group, ...]:
    """The group that each expert of the output is made from.

    Raises:
        PlanError: every slot is to stay, but an expert is in no group.

    Example:
        >>> pair = Group((0, 2), (0.5, 0.5), 0)
        >>> [group.leader for group in slots_of([pair, Group((1,), (1.0,), 1)], 3, "every")]
        [0, 1, 0]
    """
    if rows != "every":
        return tuple(groups)
    of = {member: group for group in groups for member in group.members}
    if len(of) != experts:
        lost = sorted({*range(experts)} - {*of})
        raise PlanError("An expert that is left out has no slot to keep.", got=lost, fix="--router mean, or leader")
    return tuple(of[slot] for slot in range(experts))


@dataclass(frozen=True, slots=True)
class _Made:
    model: Checkpoint
    rows: Rows
    orders: Orders

    def part(self, leaf: Leaf, rows: slice | None = None) -> Source:
        """A leaf, or some of its rows, as a source of its own."""
        source = self.model.table[leaf.tensor]
        if rows is None:
            return source if prod(leaf.shape) == source.spec.numel else Part(source, leaf.start, leaf.shape)
        width = prod(leaf.shape[1:])
        shape = (rows.stop - rows.start, *leaf.shape[1:])
        return Part(source, leaf.start + rows.start * width, shape)


def _put_experts(
    table: dict[str, Source], made: _Made, experts: ExpertModel, layer: ExpertLayer, slots: Sequence[Group]
) -> None:
    """Put every tensor of a layer's experts together anew; tensors of slots that are gone, go."""
    places = {leaf.name: (e, k) for e, parts in enumerate(layer.experts) for k, leaf in enumerate(parts)}
    for name in dict.fromkeys(leaf.tensor for parts in layer.experts for leaf in parts):
        leaves = sorted(experts.leaves[name], key=lambda leaf: leaf.start)
        wanted = [places[leaf.name] for leaf in leaves if places[leaf.name][0] < len(slots)]
        if not wanted:
            del table[name]
            continue
        spec = made.model.table[name].spec
        share = (len({e for e, _ in wanted}), *spec.shape[1:]) if len({leaf.expert for leaf in leaves}) > 1 else None
        parts = [_expert(made, layer, slots[e], k) for e, k in wanted]
        table[name] = parts[0] if len(parts) == 1 and share is None else Concat(tuple(parts), share or spec.shape)


def _expert(made: _Made, layer: ExpertLayer, group: Group, k: int) -> Source:
    """One matrix of the expert that a group becomes."""
    leaves = [layer.experts[member][k] for member in group.members]
    if len(leaves) == 1:
        return made.part(leaves[0])
    orders = [made.orders.get((layer.router.name, member)) for member in group.members]
    moved = tuple(None if order is None else (1 if k == 2 else 0, order) for order in orders)  # down: its columns
    return Mixed(leaves[0].name, tuple(map(made.part, leaves)), group.weights, moved)


def _put_router(table: dict[str, Source], made: _Made, layer: ExpertLayer, slots: Sequence[Group]) -> None:
    for leaf in filter(None, (layer.router, layer.bias)):
        parts = tuple(_row(made, leaf, group) for group in slots)
        table[leaf.tensor] = Concat(parts, (len(slots), *leaf.shape[1:]))


def _row(made: _Made, leaf: Leaf, group: Group) -> Source:
    """The router's row of a group."""
    if made.rows == "leader" or len(group.members) == 1:
        return made.part(leaf, slice(group.leader, group.leader + 1))
    parts = tuple(made.part(leaf, slice(member, member + 1)) for member in group.members)
    return Mixed(leaf.name, parts, group.weights)
