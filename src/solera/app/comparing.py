"""diff: where two models differ, in norms, by leaf, role and layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.app.inspecting import BLOCK
from solera.arch import Leaf, identify
from solera.checkpoints import FileReader, open_checkpoint
from solera.checkpoints.contract import Checkpoint, Source
from solera.execute.announcing import announce_sources
from solera.types import ModelRef

if TYPE_CHECKING:
    from torch import Tensor

_MISSING = "absent"


@dataclass(frozen=True, slots=True)
class Gap:
    """How far apart two leaves are: sums of squares, largest absolute difference, elements that differ, elements."""

    squares: float = 0.0
    squares_a: float = 0.0
    largest: float = 0.0
    changed: int = 0
    numel: int = 0

    def plus(self, other: Gap) -> Gap:
        """Both together."""
        return Gap(
            self.squares + other.squares,
            self.squares_a + other.squares_a,
            max(self.largest, other.largest),
            self.changed + other.changed,
            self.numel + other.numel,
        )

    def to_json(self) -> dict[str, float | int]:
        """Norm of the difference, the same relative to A's norm, the largest difference, the share that differs."""
        norm, norm_a = math.sqrt(self.squares), math.sqrt(self.squares_a)
        relative = norm / norm_a if norm_a else math.inf if norm else 0.0
        share = self.changed / self.numel if self.numel else 0.0
        far = {"norm": norm, "relative": relative, "largest": self.largest}
        return {**far, "changed_share": share, "numel": self.numel}


def diff(a: str | Path | ModelRef, b: str | Path | ModelRef) -> dict[str, Any]:
    """Compare two models leaf by leaf, whatever their file layouts; differences are b minus a, in float64.

    Returns:
        Plain data: ``a, b, equal, total, by_role, by_layer, leaves`` (those that differ, the farthest first),
        ``shapes`` (leaves whose shapes differ), ``only_a``, ``only_b``, ``config`` (key -> [a's, b's]).

    Cost: one read of both models; two blocks in memory.

    Raises:
        CheckpointError: a model cannot be used.

    Example:
        >>> import tempfile, pathlib, torch, safetensors.torch
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name, value in (("a", 3.0), ("b", 4.0)):
        ...     safetensors.torch.save_file({"w": torch.full((4,), value)}, folder / f"{name}.safetensors")
        >>> found = diff(folder / "a.safetensors", folder / "b.safetensors")
        >>> found["equal"], found["total"]["norm"], found["leaves"][0]["leaf"]
        (False, 2.0, 'w')
    """
    one, two = open_checkpoint(a), open_checkpoint(b)
    left, right = _leaves(one), _leaves(two)
    common = [name for name in left if name in right]
    shapes = {n: [list(left[n].shape), list(right[n].shape)] for n in common if left[n].shape != right[n].shape}
    alike = [n for n in common if n not in shapes]
    with FileReader() as reader:
        announce_sources(reader, (_span(*at, n) for n in alike for at in ((one, left), (two, right))))
        gaps = {n: _gap(reader, one, left[n], two, right[n]) for n in alike}
    found: dict[str, Any] = {
        "a": str(one.ref),
        "b": str(two.ref),
        "total": _sum(gaps.values()).to_json(),
        "by_role": _grouped(gaps, lambda name: left[name].role),
        "by_layer": _grouped(gaps, lambda name: _layer(left[name])),
        "leaves": [{"leaf": name, "role": left[name].role, **gap.to_json()} for name, gap in _farthest(gaps)],
        "shapes": shapes,
        "only_a": [name for name in left if name not in right],
        "only_b": [name for name in right if name not in left],
        "config": _config(one.config, two.config),
    }
    return {**found, "equal": not any(found[key] for key in ("leaves", "shapes", "only_a", "only_b"))}


def _leaves(checkpoint: Checkpoint) -> dict[str, Leaf]:
    architecture = identify(checkpoint.config, checkpoint.table)
    return {leaf.name: leaf for leaf in architecture.leaves(checkpoint.specs, checkpoint.config)}


def _span(model: Checkpoint, leaves: Mapping[str, Leaf], name: str) -> tuple[Source, int, int]:
    leaf = leaves[name]
    return model.table[leaf.tensor], leaf.start, leaf.start + math.prod(leaf.shape)


def _gap(reader: FileReader, one: Checkpoint, left: Leaf, two: Checkpoint, right: Leaf) -> Gap:
    """Stream one leaf of both models."""
    total = Gap()
    size = math.prod(left.shape)
    for low in range(0, size, BLOCK):
        high = min(low + BLOCK, size)
        x = one.table[left.tensor].read(reader, left.start + low, left.start + high)
        y = two.table[right.tensor].read(reader, right.start + low, right.start + high)
        total = total.plus(_block(x, y))
    return total


def _block(x: Tensor, y: Tensor) -> Gap:
    import torch

    a, b = x.to(torch.float64), y.to(torch.float64)
    same = (a == b) | (a.isnan() & b.isnan())
    gap = torch.where(same, 0.0, b - a)
    squares, squares_a = float((gap * gap).sum()), float((a * a).sum())
    return Gap(squares, squares_a, float(gap.abs().max()), int((~same).sum()), a.numel())


def _sum(gaps: Iterable[Gap]) -> Gap:
    total = Gap()
    for gap in gaps:
        total = total.plus(gap)
    return total


def _grouped(gaps: Mapping[str, Gap], group: Callable[[str], str]) -> dict[str, Any]:
    groups: dict[str, Gap] = {}
    for name, gap in gaps.items():
        groups[group(name)] = groups.get(group(name), Gap()).plus(gap)
    return {key: gap.to_json() for key, gap in groups.items()}


def _layer(leaf: Leaf) -> str:
    return "outside" if leaf.layer is None else f"{leaf.stack} {leaf.layer}".strip()


def _farthest(gaps: Mapping[str, Gap]) -> list[tuple[str, Gap]]:
    """Leaves that differ, by relative distance."""
    differing = [(name, gap) for name, gap in gaps.items() if gap.changed]
    return sorted(differing, key=lambda row: -row[1].to_json()["relative"])


def _config(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str = "") -> dict[str, list[Any]]:
    """Differing settings by dotted key."""
    found: dict[str, list[Any]] = {}
    for key in sorted({*a, *b}):
        x, y = a.get(key, _MISSING), b.get(key, _MISSING)
        if isinstance(x, Mapping) and isinstance(y, Mapping):
            found |= _config(x, y, f"{prefix}{key}.")
        elif x != y:
            found[prefix + key] = [x, y]
    return found
