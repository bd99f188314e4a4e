"""The application: merge = check, plan, run, reconcile, commit, report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solera.app.checking import check
    from solera.app.loading import load, methods, save
    from solera.app.merging import merge
    from solera.app.report import MergeReport
    from solera.plan import plan

_HOMES = {
    "merge": "app.merging",
    "plan": "plan",
    "MergeReport": "app.report",
    "check": "app.checking",
    "load": "app.loading",
    "save": "app.loading",
    "methods": "app.loading",
}

__all__ = ["MergeReport", "check", "load", "merge", "methods", "plan", "save"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used; importing this room costs nothing."""
    if name in _HOMES:
        return getattr(import_module(f"solera.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'solera.app' has no attribute {name!r}")
