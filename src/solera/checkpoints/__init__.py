"""Bytes to tensors and back: sources, views, folders, the Hub, adapters, output files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solera.checkpoints.adapter import with_adapter
    from solera.checkpoints.contract import ByteReader, Checkpoint, Limits, Source
    from solera.checkpoints.dequantise import Dequantise
    from solera.checkpoints.fakes import FaultyReader, MemoryReader, ReadFault
    from solera.checkpoints.gather import GatherRows, gather_rows
    from solera.checkpoints.identity import ModelDigest, digest_checkpoint, tensor_digest
    from solera.checkpoints.lora import LoraApplied
    from solera.checkpoints.memory import memory_checkpoint
    from solera.checkpoints.open import download_size, open_checkpoint
    from solera.checkpoints.quantised import with_dequantised
    from solera.checkpoints.ranges import FileRange, MemorySource, StridedRange
    from solera.checkpoints.reader import FileReader
    from solera.checkpoints.reference import parse_ref
    from solera.checkpoints.views import Concat, Fill, Part
    from solera.checkpoints.writer import (
        PositionedFile,
        ShardLayout,
        index_json,
        layout,
        open_for_writing,
        tensor_bytes,
    )

__all__ = [
    "ByteReader",
    "Checkpoint",
    "Concat",
    "Dequantise",
    "FaultyReader",
    "FileRange",
    "FileReader",
    "Fill",
    "GatherRows",
    "Limits",
    "LoraApplied",
    "MemoryReader",
    "MemorySource",
    "ModelDigest",
    "Part",
    "PositionedFile",
    "ReadFault",
    "ShardLayout",
    "Source",
    "StridedRange",
    "digest_checkpoint",
    "download_size",
    "gather_rows",
    "index_json",
    "layout",
    "memory_checkpoint",
    "open_checkpoint",
    "open_for_writing",
    "parse_ref",
    "tensor_bytes",
    "tensor_digest",
    "with_adapter",
    "with_dequantised",
]

_HOMES = {
    **dict.fromkeys(["with_adapter"], "adapter"),
    **dict.fromkeys(["ByteReader", "Checkpoint", "Limits", "Source"], "contract"),
    **dict.fromkeys(["Dequantise"], "dequantise"),
    **dict.fromkeys(["FaultyReader", "MemoryReader", "ReadFault"], "fakes"),
    **dict.fromkeys(["GatherRows", "gather_rows"], "gather"),
    **dict.fromkeys(["ModelDigest", "digest_checkpoint", "tensor_digest"], "identity"),
    **dict.fromkeys(["LoraApplied"], "lora"),
    **dict.fromkeys(["memory_checkpoint"], "memory"),
    **dict.fromkeys(["download_size", "open_checkpoint"], "open"),
    **dict.fromkeys(["with_dequantised"], "quantised"),
    **dict.fromkeys(["FileRange", "MemorySource", "StridedRange"], "ranges"),
    **dict.fromkeys(["FileReader"], "reader"),
    **dict.fromkeys(["parse_ref"], "reference"),
    **dict.fromkeys(["Concat", "Fill", "Part"], "views"),
    **dict.fromkeys(
        ["PositionedFile", "ShardLayout", "index_json", "layout", "open_for_writing", "tensor_bytes"], "writer"
    ),
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
