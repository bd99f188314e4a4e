"""check: the text of recipes alone, no models."""

from __future__ import annotations

from pathlib import Path

from solera.errors import Fault
from solera.recipe import find_faults


def check(recipe: str | Path) -> tuple[Fault, ...]:
    """Every fault in a recipe file's text; an empty tuple when it is sound. Opens no model, imports no torch.

    Raises:
        OSError: the file cannot be read.
    """
    path = Path(recipe)
    return find_faults(path.read_text(encoding="utf-8"), str(path))
