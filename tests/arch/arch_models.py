"""Tiny models opened as (config, specs), each built once per session, and the check of exact coverage."""

from __future__ import annotations

import json
import struct
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from solera.arch import Leaf
from solera.testing.models import build
from solera.types import DType, TensorSpec

_ROOT = tempfile.TemporaryDirectory(prefix="solera-arch-")


@cache
def opened(
    name: str, *, memory_layout: bool = False, tied: bool | None = None
) -> tuple[dict[str, Any], dict[str, TensorSpec]]:
    folder = Path(_ROOT.name) / f"{name}-{memory_layout}-{tied}"
    build(name, folder, seed=1, memory_layout=memory_layout, tied=tied)
    return json.loads((folder / "config.json").read_text()), specs_of(folder / "model.safetensors")


def specs_of(path: Path) -> dict[str, TensorSpec]:
    with path.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    header.pop("__metadata__", None)
    return {key: TensorSpec(DType(entry["dtype"]), tuple(entry["shape"])) for key, entry in header.items()}


def floats(**shapes: tuple[int, ...]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(DType.F32, shape) for name, shape in shapes.items()}


def specs(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, TensorSpec]:
    return floats(**shapes)


def assert_exact(leaves: Iterable[Leaf], tensors: Mapping[str, TensorSpec]) -> None:
    """Every element of every tensor lies in exactly one leaf, and leaf names are unique."""
    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    names: list[str] = []
    for leaf in leaves:
        names.append(leaf.name)
        ranges[leaf.tensor].append((leaf.start, leaf.start + TensorSpec(DType.F32, leaf.shape).numel))
    assert len(set(names)) == len(names)
    assert set(ranges) == set(tensors)
    for tensor, spans in ranges.items():
        ends = [0, *(stop for _, stop in sorted(spans))]
        assert [start for start, _ in sorted(spans)] == ends[:-1], tensor
        assert ends[-1] == tensors[tensor].numel, tensor
