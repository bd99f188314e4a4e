"""What the verbs of evolution are told: from words and options to recipes, grounds and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.cli.inline import RECIPE_ENDINGS, split_words
from solera.cli.options import split

if TYPE_CHECKING:
    from solera.recipe import Recipe
    from solera.search.calibrating import Estimated
    from solera.search.contract import Source
    from solera.search.declaring import Declared
    from solera.search.running import Settings
    from solera.testbeds.contract import Built
    from solera.types import ModelRef

KINDS = ("extra", "expert")
"""Words before a colon that name a testbed's own models."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where candidates are scored: a testbed, or tasks of one's own."""

    testbed: str
    size: str
    seed: int
    cache: Path | None
    tasks: Path | None

    def __post_init__(self) -> None:
        """Check that it is one of the two.

        Raises:
            BadParameter: neither testbed nor tasks, or both.
        """
        from solera.errors import BadParameter

        if bool(self.testbed) == bool(self.tasks):
            fix = "solera search evolve A B --tasks tasks.yaml"
            raise BadParameter("One of --testbed and --tasks is needed.", fix=fix)

    def built(self) -> Built:
        """The testbed, opened."""
        from solera import testbeds
        from solera.testbeds.cache import known_size

        return testbeds.open_built(self.testbed, size=known_size(self.size), seed=self.seed, cache=self.cache)


def declared(
    words: Sequence[str], place: Place, base: str | None, method: str | None, vary: str, objectives: str
) -> Declared:
    """Recipe, wishes and objectives: from a space, from a recipe, or from models.

    Raises:
        BadParameter: options stand beside a file that says it already.
    """
    from solera.search.declaring import Declared
    from solera.search.ranges import read_wish

    found = split_words(words)
    wishes = tuple(read_wish(text) for text in split(vary))
    if len(found.names) == 1 and found.names[0].lower().endswith(RECIPE_ENDINGS):
        named = {**found.options, **{k: v for k, v in (("base", base), ("method", method)) if v}}
        _refuse(named, found.names[0])
        read = _read(Path(found.names[0]))
        asked = read.objectives if objectives == "mean" else split(objectives)
        return Declared(read.recipe, wishes or read.wishes, asked)
    return Declared(_composed(found.names, found.options, place, base, method), wishes, split(objectives))


def _refuse(options: Mapping[str, str], file: str) -> None:
    from solera.errors import BadParameter

    for name in options:
        raise BadParameter(f"`--{name}` has no effect beside a file.", fix=f"write it into {file}")


def _read(file: Path) -> Declared:
    from solera.recipe import load
    from solera.search.declaring import Declared, is_space, read_space

    return read_space(file) if is_space(file) else Declared(load(file), (), ("mean",))


def _composed(
    names: Sequence[str], options: Mapping[str, str], place: Place, base: str | None, method: str | None
) -> Recipe:
    from solera.errors import RecipeError
    from solera.recipe import from_options
    from solera.registry import card

    models, start = [_absolute(name) for name in names], None if base is None else _absolute(base)
    if place.testbed:
        built = place.built()
        models = models or [str(folder) for folder in built.experts.values()]
        start = start or str(built.base)
    if not models:
        raise RecipeError("There is nothing to merge.", want="models, a recipe, a space, or a testbed")
    chosen = method or ("task_arithmetic" if start else "linear")
    used = start if card(chosen).base != "none" else None
    return from_options(models, base=used, method=chosen, parameters=dict(options))


def _absolute(word: str) -> str:
    """A folder by its whole path, so that the recipe holds anywhere."""
    return "+".join(str(Path(part).resolve()) if Path(part).exists() else part for part in word.split("+"))


def named(words: Sequence[str], place: Place) -> tuple[ModelRef, ...]:
    """Models by name; ``extra:NAME`` and ``expert:NAME`` are those of the testbed.

    Raises:
        RecipeError: there is none. UnknownName: the testbed has no such model.
    """
    from solera.checkpoints import parse_ref
    from solera.errors import RecipeError

    if not words:
        raise RecipeError("There are no models.", want="models whose layers are searched")
    return tuple(parse_ref(_of_testbed(word, place)) for word in words)


def _of_testbed(word: str, place: Place) -> str:
    from solera.errors import UnknownName, nearest

    kind, _, short = word.partition(":")
    if kind not in KINDS or not place.testbed:
        return _absolute(word)
    built = place.built()
    known = built.extras if kind == "extra" else built.experts
    if short not in known:
        raise UnknownName(f"The testbed has no such {kind}.", got=short, fix=nearest(short, known))
    return str(known[short])


def ground_of(place: Place, recipe: Recipe) -> Source:
    """Where candidates of a recipe are scored."""
    node = recipe.merge
    base = None if node.base is None else str(node.base)
    return source(place, [str(operand.model) for operand in node.models], base)


def source(place: Place, models: Sequence[str], base: str | None) -> Source:
    """Where candidates are scored."""
    from solera.bench.own import OwnSource
    from solera.cli.grounds import BedSource
    from solera.testbeds.cache import known_size

    if place.tasks:
        return OwnSource(base, tuple(models), place.tasks, 0)
    return BedSource(place.testbed, known_size(place.size), place.seed, place.cache, base or models[0])


def one_of(name: str, given: str, known: Sequence[str]) -> Any:
    """A word among known ones.

    Raises:
        BadParameter: it is none of them.
    """
    from solera.errors import BadParameter, nearest

    if given not in known:
        raise BadParameter(f"`--{name}` is not usable.", got=given, want=", ".join(known), fix=nearest(given, known))
    return given


def estimated(name: str, items: int, anchors: str, calibration: int) -> Estimated | None:
    """How candidates are estimated; None where they are not."""
    from solera.search.calibrating import Estimated
    from solera.search.irt.estimators import NAMES

    if not name:
        return None
    how = one_of("anchors", anchors, ("random", "clusters"))
    return Estimated(one_of("estimator", name, NAMES), items, how, calibration)


def settings(
    optimizer: str,
    evaluations: int,
    population: int | None,
    objectives: tuple[str, ...],
    seed: int,
    racing: str,
    keep: float,
    few: Estimated | None,
) -> Settings:
    """How a search goes.

    Raises:
        BadParameter: an option is not usable.
    """
    from solera.errors import BadParameter
    from solera.search.optimizers import NAMES
    from solera.search.running import Settings

    try:
        shares = tuple(float(part) for part in split(racing)) or (1.0,)
    except ValueError:
        raise BadParameter("`--racing` is not readable.", got=racing, want="shares, as in 0.25,0.5,1") from None
    chosen = one_of("optimizer", optimizer, NAMES)
    return Settings(chosen, evaluations, population, objectives, seed, shares, keep, few)
