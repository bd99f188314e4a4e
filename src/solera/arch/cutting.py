"""From one file tensor to its leaves: fused tensors are cut into contiguous ranges."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import dropwhile
from typing import Any

from solera.arch.paths import lookup, whole
from solera.arch.reading import BUFFERS, Spot
from solera.arch.values import Kind, Leaf
from solera.types import TensorSpec

Piece = tuple[str, int, tuple[int, ...]]
"""Leaf name, first element, shape."""


def leaves_of(
    tensor: str, spec: TensorSpec, spot: Spot, read: Callable[[str], Spot], config: Mapping[str, Any]
) -> list[Leaf]:
    """All leaves of one file tensor, in the order of their elements; they cover it exactly."""
    if not spot.rule.split:
        return [leaf(tensor, spec, spot, 0, spec.shape)]
    pieces = _pieces(spot, spec.shape, config)
    if not pieces:
        return [leaf(tensor, spec, spot, 0, spec.shape)]
    return [leaf(tensor, spec, read(name), start, shape) for name, start, shape in pieces]


def _pieces(spot: Spot, shape: tuple[int, ...], config: Mapping[str, Any]) -> list[Piece]:
    by_expert = "{expert}" in spot.rule.split[0] and spot.expert is None
    block = shape[1:] if by_expert else shape
    if not block or (by_expert and len(shape) < 2):
        return []
    sizes = _sizes(spot, block[0], config)
    if sizes is None:
        return []
    experts = range(shape[0]) if by_expert else [spot.expert]
    return [piece for e in experts for piece in _cut(spot, e, block, sizes, (e or 0) * math.prod(block) * by_expert)]


def _cut(spot: Spot, expert: int | None, block: tuple[int, ...], sizes: list[int], start: int) -> list[Piece]:
    row, found = math.prod(block[1:]), []
    for module, size in zip(spot.rule.split, sizes, strict=True):
        name = module.replace("{layer}", str(spot.layer)).replace("{expert}", str(expert))
        found.append((".".join([name, *(spot.rest or ("weight",))]), start, (size, *block[1:])))
        start += size * row
    return found


def _sizes(spot: Spot, rows: int, config: Mapping[str, Any]) -> list[int] | None:
    shares = _shares(spot, config)
    total = sum(shares)
    return None if not total or rows % total else [rows // total * share for share in shares]


def _shares(spot: Spot, config: Mapping[str, Any]) -> list[int]:
    if not spot.rule.shares:
        return [1] * len(spot.rule.split)
    counts = [whole(lookup(config, key)) for key in spot.rule.shares]
    return [count for count in counts if count] if all(counts) else []


def leaf(tensor: str, spec: TensorSpec, spot: Spot, start: int, shape: tuple[int, ...]) -> Leaf:
    """One leaf from what its name says and what its shape shows."""
    rule, buffer = spot.rule, not spec.dtype.is_float or spot.name.rsplit(".", 1)[-1] in BUFFERS
    swapped = rule.swapped and len(shape) == 2
    return Leaf(
        name=spot.name,
        tensor=tensor,
        start=start,
        shape=shape,
        role="buffer" if buffer else rule.role,
        stack=rule.stack,
        layer=spot.layer,
        expert=spot.expert,
        kind="buffer" if buffer else kind_of(rule.role, rule.kind, shape),
        out_axis=-1 if swapped else 0,
        in_axis=0 if swapped else -1,
        vocab_axis=None if buffer or not shape else rule.vocab_axis,
        wide=rule.wide,
        place=rule.place,
        module=rule.module,
    )


def kind_of(role: str, said: str, shape: tuple[int, ...]) -> Kind:
    """How the mathematics sees a tensor: as its rule says, else by shape and role."""
    if said:
        return said  # type: ignore[return-value]
    if "embedding" in role.split(".") and len(shape) > 2:
        shape = tuple(dropwhile(lambda size: size == 1, shape))  # (1, positions, width) is a table of rows
    if math.prod(shape) == 1:
        return "scalar"
    if len(shape) == 1:
        return "vector"
    if len(shape) == 2:
        return "embedding" if "embedding" in role.split(".") else "matrix"
    return "matrix" if "expert" in role.split(".") else "convolution"
