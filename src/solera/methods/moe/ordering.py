"""Neurons of every group's members in their leader's order: found layer by layer, two experts in memory at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from solera.checkpoints.contract import ByteReader, Checkpoint
from solera.errors import NonFinite
from solera.methods.moe.contract import Grouping
from solera.methods.moe.layout import ExpertLayer, ExpertModel
from solera.methods.moe.neurons import is_moved, neuron_order

Told = Callable[[int, int], None]
"""(experts done, experts in all)."""


def orders_for(
    model: Checkpoint, experts: ExpertModel, grouping: Grouping, reader: ByteReader, told: Told = lambda _d, _t: None
) -> dict[tuple[str, int], Tensor]:
    """Orders for all members that are no leaders; those that would move nothing are left out.

    Cost: one read of every expert that is merged, once more of leaders; two experts in float32 and one f * f matrix of
        memory; O(f^3) for each member that is no leader.

    Raises:
        NonFinite: an expert holds NaN or infinity.
    """
    pairs = [
        (layer, group.leader, member)
        for layer in experts.layers
        for group in grouping[layer.router.name]
        for member in group.members
        if member != group.leader
    ]
    found: dict[tuple[str, int], Tensor] = {}
    held: tuple[tuple[str, int], tuple[Tensor, ...]] | None = None
    for done, (layer, leader, member) in enumerate(pairs, 1):
        key = (layer.router.name, leader)
        if held is None or held[0] != key:
            held = (key, matrices(model, layer, leader, reader))
        order = neuron_order(held[1], matrices(model, layer, member, reader))
        if is_moved(order):
            found[layer.router.name, member] = order
        told(done, len(pairs))
    return found


def matrices(model: Checkpoint, layer: ExpertLayer, expert: int, reader: ByteReader) -> tuple[Tensor, ...]:
    """Gate, up and down of one expert, in float32.

    Raises:
        NonFinite: one of them holds NaN or infinity.
    """
    found = []
    for leaf in layer.experts[expert]:
        size = leaf.shape[0] * leaf.shape[1]
        values = model.table[leaf.tensor].read(reader, leaf.start, leaf.start + size).float()
        if not bool(torch.isfinite(values).all()):
            raise NonFinite(f"{leaf.name} holds a value that is not finite.", where=model.ref, fix="repair that model")
        found.append(values.reshape(leaf.shape))
    return tuple(found)
