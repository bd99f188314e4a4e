"""Routed packs: many experts in one folder, merged for every input. Importing this room costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solera.inference.routed.index import Pack, TaskPart, open_pack
    from solera.inference.routed.loading import load_pack
    from solera.inference.routed.model import PackModel

_HOMES = {
    "Pack": "index",
    "PackModel": "model",
    "TaskPart": "index",
    "load_pack": "loading",
    "open_pack": "index",
}

__all__ = ["Pack", "PackModel", "TaskPart", "load_pack", "open_pack"]


def __getattr__(name: str) -> Any:
    """Find a public name when it is first used."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
