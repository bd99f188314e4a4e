"""check: the text of recipes alone, no models."""

from __future__ import annotations

from pathlib import Path

from solera.errors import Fault
from solera.recipe import file_text, find_faults


def check(recipe: str | Path) -> tuple[Fault, ...]:
    """Every fault in a recipe file's text; an empty tuple when it is sound. Opens no model, imports no torch.

    Raises:
        RecipeError: the file cannot be read, or is no text.
    """
    path = Path(recipe)
    return find_faults(file_text(path), str(path))
