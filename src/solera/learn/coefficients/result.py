"""What was learnt: a recipe that any merge can run, and an artefact that says on what it was learnt and how it went."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from solera.errors import CorruptFile, NotFound
from solera.recipe import Recipe, to_yaml

FORM = 1
RECIPE_FILE = "recipe.yaml"
ARTEFACT_FILE = "coefficients.json"


@dataclass(frozen=True, slots=True)
class Source:
    """A model by its name and the digest of its tensors."""

    model: str
    digest: str


@dataclass(frozen=True, slots=True)
class Data:
    """Examples of a task by the digest of everything that was fed, and the model that knows the task."""

    name: str
    digest: str
    samples: int
    tokens: int
    expert: str


@dataclass(frozen=True, slots=True)
class Learnt:
    """The artefact.

    Attributes:
        learner, settings: what was done. base, models, data: with what.
        coefficients: group -> one number per model, as the recipe has them.
        losses: of every step. checks: (step, loss) of every check. chosen: the step whose coefficients these are.
        stopped: why before the last step, or "". seconds: wall time, runs before a stop not counted.
        memory: bytes of vectors held and of the merged weights, and the peak of the process above its start.
    """

    learner: str
    settings: Mapping[str, Any]
    base: Source
    models: tuple[Source, ...]
    data: tuple[Data, ...]
    coefficients: Mapping[str, tuple[float, ...]] = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    checks: tuple[tuple[int, float], ...] = field(repr=False)
    chosen: int = 0
    stopped: str = ""
    seconds: float = 0.0
    memory: Mapping[str, int] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {"form": FORM, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Result:
    """A finished learning: the recipe as a value, and where recipe and artefact lie."""

    recipe: Recipe = field(repr=False)
    learnt: Learnt
    recipe_path: Path
    artefact_path: Path


def write(folder: Path, recipe: Recipe, learnt: Learnt) -> Result:
    """Write recipe and artefact into `folder`, each under another name that is exchanged at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {RECIPE_FILE: to_yaml(recipe), ARTEFACT_FILE: json.dumps(learnt.plain(), indent=1) + "\n"}
    for name, text in texts.items():
        staged = folder / f"{name}.partial"
        staged.write_text(text, encoding="utf-8")
        staged.replace(folder / name)
    return Result(recipe, learnt, folder / RECIPE_FILE, folder / ARTEFACT_FILE)


def read(path: str | Path) -> Learnt:
    """Read an artefact, or that of a folder.

    Raises:
        NotFound: there is none. CorruptFile: it is no artefact of coefficients, or of a later form.
    """
    place = Path(path) / ARTEFACT_FILE if Path(path).is_dir() else Path(path)
    if not place.is_file():
        raise NotFound("There are no learnt coefficients.", where=place, fix="solera learn coefficients --help")
    try:
        said = json.loads(place.read_text(encoding="utf-8"))
        form = said.pop("form")
        if form != FORM:
            raise CorruptFile("The artefact is of another form.", where=place, got=form, want=str(FORM))
        return _learnt(said)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile("This is no artefact of coefficients.", where=place, got=error) from None


def _learnt(said: Mapping[str, Any]) -> Learnt:
    return Learnt(
        **{
            **said,
            "base": Source(**said["base"]),
            "models": tuple(Source(**one) for one in said["models"]),
            "data": tuple(Data(**one) for one in said["data"]),
            "coefficients": {name: tuple(row) for name, row in said["coefficients"].items()},
            "losses": tuple(said["losses"]),
            "checks": tuple((int(step), float(loss)) for step, loss in said["checks"]),
        }
    )


def changed(learnt: Learnt, now: Sequence[Source]) -> list[str]:
    """Models that are no longer those that coefficients were learnt on: base first, then in order.

    Example:
        >>> learnt = Learnt("", {}, Source("x", "1"), (Source("a", "2"),), (), {}, (), ())
        >>> changed(learnt, [Source("x", "1"), Source("a", "3")])
        ['a']
    """
    pairs = zip((learnt.base, *learnt.models), now, strict=True)
    return [new.model for old, new in pairs if old.digest != new.digest]
