"""Spaces as text: a YAML file that names a recipe, and the parameters that are searched.

::

    recipe: merge.yaml            # or the recipe itself, written here
    genes:
      - weight                    # range and start from the method's card and the recipe
      - parameter: density
        low: 0.1
        high: 0.9
        start: 0.5
        over: layer               # global (default), role or layer
        block: 2                  # layers that share a gene
    objectives: [mean]            # optional: mean, worst, TASK, TASK+TASK
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from solera.errors import BadParameter, RecipeError
from solera.recipe import load, parse
from solera.recipe.emit import emit
from solera.recipe.values import Recipe
from solera.search.ranges import Wish


class GeneText(BaseModel):
    """One parameter as the file has it."""

    model_config = ConfigDict(extra="forbid")

    parameter: str
    low: float | None = None
    high: float | None = None
    start: float | str | bool | None = None
    over: str | None = None
    block: int | None = None


class SpaceText(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid")

    recipe: str | dict[str, Any]
    genes: list[str | GeneText]
    objectives: list[str] = ["mean"]


@dataclass(frozen=True, slots=True)
class Declared:
    """A file of a space, read: the recipe, what is searched of it, and by what."""

    recipe: Recipe
    wishes: tuple[Wish, ...]
    objectives: tuple[str, ...]


def is_space(path: Path) -> bool:
    """Whether a YAML file declares a space: it has `genes`.

    Raises:
        RecipeError: it cannot be read.
    """
    return "genes" in _plain(path)


def read_space(path: Path) -> Declared:
    """Read a file of a space. A recipe's path is taken from the file's folder.

    Raises:
        RecipeError: it cannot be read, or is not of the form above. BadParameter: it has no genes.
    """
    try:
        text = SpaceText.model_validate(_plain(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RecipeError("The space is not readable.", where=f"{path} {place}", got=first["msg"]) from None
    if not text.genes:
        raise BadParameter("The space has no genes.", where=path, want="genes: [weight, ...]")
    wishes = tuple(Wish(g) if isinstance(g, str) else Wish(**g.model_dump()) for g in text.genes)
    return Declared(_recipe(text.recipe, path), wishes, tuple(text.objectives))


def _recipe(given: str | dict[str, Any], path: Path) -> Recipe:
    if isinstance(given, str):
        return load(path.parent / given)
    return parse(emit([given]), source=str(path))


def _plain(path: Path) -> Mapping[str, Any]:
    from ruamel.yaml import YAML, YAMLError

    try:
        found = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise RecipeError("The file cannot be read.", where=path, got=str(error)[:200]) from None
    if not isinstance(found, Mapping):
        raise RecipeError("The file holds no recipe and no space.", where=path, want="a mapping")
    return found
