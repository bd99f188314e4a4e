"""Solera turns several neural networks into one.

The Python face mirrors the command line; nothing heavy is imported until it is used::

    import solera

    report = solera.merge("recipe.yaml", "out")
    print(solera.plan("recipe.yaml").explain())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from solera.inference.routed.registering import announce
from solera.version import __version__

if TYPE_CHECKING:
    from solera.app import MergeReport, check, load, load_into, merge, merge_tensors, plan, save
    from solera.errors import SoleraError
    from solera.inference.routed import load_pack
    from solera.inference.tokens import merged_tokens
    from solera.recipe import Recipe
    from solera.registry import PerModel, Range, method
    from solera.registry import cards as methods

_HOMES = {
    "merge": "solera.app",
    "plan": "solera",  # the room itself, which is callable
    "check": "solera.app",
    "load": "solera.app",
    "save": "solera.app",
    "merge_tensors": "solera.app",
    "load_into": "solera.app",
    "load_pack": "solera.inference.routed",
    "methods": "solera",
    "merged_tokens": "solera.inference.tokens",
    "MergeReport": "solera.app",
    "Recipe": "solera.recipe",
    "method": "solera.registry",
    "PerModel": "solera.registry",
    "Range": "solera.registry",
    "SoleraError": "solera.errors",
}

__all__ = [
    "MergeReport",
    "PerModel",
    "Range",
    "Recipe",
    "SoleraError",
    "__version__",
    "check",
    "load",
    "load_into",
    "load_pack",
    "merge",
    "merge_tensors",
    "merged_tokens",
    "method",
    "methods",
    "plan",
    "save",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home when it is first used."""
    from importlib import import_module

    if _HOMES.get(name) == "solera":
        return import_module(f"solera.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'solera' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__


announce()  # so that transformers loads packs, whenever it is imported
