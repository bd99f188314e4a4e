"""Bytes to tensors and back: sources, views, folders, the Hub, adapters, output files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solera.checkpoints.contract import ByteReader, Checkpoint, Limits, Source
    from solera.checkpoints.memory import memory_checkpoint
    from solera.checkpoints.open import download_size, open_checkpoint
    from solera.checkpoints.ranges import FileRange, MemorySource
    from solera.checkpoints.reader import FileReader
    from solera.checkpoints.reference import parse_ref
    from solera.checkpoints.writer import ShardLayout, index_json, layout, open_for_writing

__all__ = [
    "ByteReader",
    "Checkpoint",
    "FileRange",
    "FileReader",
    "Limits",
    "MemorySource",
    "ShardLayout",
    "Source",
    "download_size",
    "index_json",
    "layout",
    "memory_checkpoint",
    "open_checkpoint",
    "open_for_writing",
    "parse_ref",
]

_HOMES = {
    **dict.fromkeys(["ByteReader", "Checkpoint", "Limits", "Source"], "contract"),
    **dict.fromkeys(["FileRange", "MemorySource"], "ranges"),
    **dict.fromkeys(["ShardLayout", "index_json", "layout", "open_for_writing"], "writer"),
    **dict.fromkeys(["download_size", "open_checkpoint"], "open"),
    "FileReader": "reader",
    "memory_checkpoint": "memory",
    "parse_ref": "reference",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
