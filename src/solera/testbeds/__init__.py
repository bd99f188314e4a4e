"""Small, really trained models with known tasks: the instrument that methods are measured with."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solera.testbeds.building import build, open_built, remove
    from solera.testbeds.cache import Stored, stored
    from solera.testbeds.homes import names, testbed
    from solera.testbeds.manifest import standing
    from solera.testbeds.using import load, tasks

_HOMES = {
    "Stored": "cache",
    "build": "building",
    "load": "using",
    "names": "homes",
    "open_built": "building",
    "remove": "building",
    "standing": "manifest",
    "stored": "cache",
    "tasks": "using",
    "testbed": "homes",
}

__all__ = ["Stored", "build", "load", "names", "open_built", "remove", "standing", "stored", "tasks", "testbed"]


def __getattr__(name: str) -> Any:
    """Find a public name when it is first used: importing the room costs nothing."""
    if name in _HOMES:
        return getattr(import_module(f"solera.testbeds.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
