"""From the words of the command line to a recipe value: a file, or models and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.cli.inline import RECIPE_ENDINGS, RECIPE_OPTIONS, VERB_OPTIONS, split_words
from solera.errors import RecipeError, UnknownName, nearest

if TYPE_CHECKING:
    from solera.recipe import Recipe

_FORMS = "solera merge RECIPE.yaml OUT, or solera merge MODEL MODEL... [--base MODEL] [--method NAME] -o OUT"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked for: words as typed, and options of the form without a recipe (None: unset)."""

    words: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_recipe(self) -> bool:
        """Whether the first word is a recipe file."""
        return bool(self.words) and self.words[0].lower().endswith(RECIPE_ENDINGS)

    @property
    def given(self) -> dict[str, Any]:
        """The options that were set."""
        return {name: value for name, value in self.options.items() if value is not None}


def recipe_of(asked: Asked) -> Recipe:
    """The recipe value, from a file or from models and options.

    Raises:
        RecipeError: the file cannot be read, or options stand where they have no place. RecipeFaults: see the recipe.
    """
    if asked.by_recipe:
        from solera.recipe import load

        _refuse_strays(asked)
        return load(asked.words[0])
    return _composed(asked)


def target_of(asked: Asked, out: Path | None) -> Path:
    """Where the result goes: ``-o``, or the second word after a recipe.

    Raises:
        RecipeError: no target, or two.
    """
    words = split_words(asked.words).names[1:] if asked.by_recipe else ()
    places = [*map(Path, words), *([out] if out else [])]
    if len(places) != 1:
        raise RecipeError("A merge has one target.", got=" ".join(map(str, places)) or "none", want=_FORMS)
    return places[0]


def _composed(asked: Asked) -> Recipe:
    from solera.recipe import from_options
    from solera.registry import cards

    card = cards().get(asked.given.get("method", "linear"))
    switches = frozenset(p.name for p in card.parameters if p.kind == "bool") if card else frozenset()
    words = split_words(asked.words, switches | {"copy_code"})
    if not words.names:
        raise RecipeError("There is nothing to merge.", want=_FORMS)
    rare: dict[str, Any] = {name: value for name, value in words.options.items() if name in RECIPE_OPTIONS}
    if "copy_code" in rare:
        rare["copy_code"] = rare["copy_code"] == "true"
    parameters = {name: value for name, value in words.options.items() if name not in RECIPE_OPTIONS}
    return from_options(words.names, parameters=parameters, **asked.given, **rare)


def _refuse_strays(asked: Asked) -> None:
    """Beside a recipe file, options that belong into it are refused.

    Raises:
        UnknownName: naming the first.
    """
    for name in asked.given:
        raise UnknownName(f"`--{name}` has no effect beside a recipe.", fix=f"write it into {asked.words[0]}")
    for name in split_words(asked.words).options:
        fix = f"{nearest(name, VERB_OPTIONS)}; parameters of a method stand in the recipe"
        raise UnknownName(f"`--{name}` is not an option beside a recipe.", fix=fix)
