"""learn coefficients: what the command asks for, turned into a job, and what it says of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.cli.shown import rows
from solera.errors import BadParameter

if TYPE_CHECKING:
    from solera.cli.calibration import Part
    from solera.learn.coefficients import Job, LearnCard, Result, Settings, TaskData
    from solera.learn.statistics import Batch
    from solera.recipe.values import Match, Recipe
    from solera.testbeds.contract import Built

NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Asked:
    """Where recipe and data come from."""

    recipe: Path | None
    data: tuple[str, ...]
    testbed: str
    size: str
    seed: int
    part: Part
    cache: Path | None
    samples: int | None
    length: int


def job_of(asked: Asked, method: str, changes: Mapping[str, Any], out: Path, **more: Any) -> Job:
    """Read recipe and data.

    Raises:
        SoleraError: a name is unknown, there is no data, or data and models do not correspond.
    """
    from solera.learn.coefficients import Job, learner
    from solera.recipe import load

    card = learner(method)
    said = card.defaults.but(**changes)
    built = _built(asked)
    if asked.recipe is None and built is None:
        raise BadParameter("There is no recipe.", want="RECIPE, or --testbed for all of its experts")
    recipe = load(asked.recipe) if asked.recipe is not None else _of_testbed(built)
    data = _from_testbed(asked, built, recipe, card, said) if built else _from_files(asked, recipe, card, said)
    return Job(recipe, card, data, said, out, **more)


def part_of(text: str) -> Part:
    """A split by its name.

    Raises:
        BadParameter: there is none of it.
    """
    from typing import get_args

    from solera.cli.calibration import Part

    for known in get_args(Part):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise BadParameter("The testbed has no such part.", got=text, want=", ".join(get_args(Part)))


def _built(asked: Asked) -> Built | None:
    if bool(asked.testbed) and bool(asked.data):
        raise BadParameter("The data is given twice.", want="--testbed or --data")
    if not asked.testbed:
        return None
    from solera import testbeds
    from solera.testbeds.cache import known_size

    return testbeds.open_built(asked.testbed, size=known_size(asked.size), seed=asked.seed, cache=asked.cache)


def _of_testbed(built: Built | None) -> Recipe:
    """All experts of a testbed, added to its base."""
    from solera.recipe.values import Merge, Operand, Recipe
    from solera.types import ModelRef

    assert built is not None
    models = tuple(Operand(ModelRef(str(folder)), label=task) for task, folder in built.experts.items())
    return Recipe(Merge("task_arithmetic", models, base=ModelRef(str(built.base))))


def _from_testbed(asked: Asked, built: Built, recipe: Recipe, card: LearnCard, said: Settings) -> list[TaskData]:
    """Inputs of the tasks whose experts are in the recipe."""
    from solera.cli.calibration import testbed_batches
    from solera.learn.coefficients import TaskData
    from solera.learn.statistics import Cut

    cut = Cut(asked.samples or card.samples, said.batch, asked.length)
    places = {folder.resolve(): task for task, folder in built.experts.items()}
    found = []
    for k, operand in enumerate(recipe.merge.models):
        task = places.get(Path(getattr(operand.model, "path", "")).resolve()) or operand.label
        if task not in built.experts:
            want = f"experts of {built.name}, or their tasks as labels"
            raise BadParameter("A model is no expert of the testbed.", got=operand.model, want=want, fix="use --data")
        found.append(TaskData(task, _unlabelled(testbed_batches(built, task, cut, asked.part)), k))
    return found


def _from_files(asked: Asked, recipe: Recipe, card: LearnCard, said: Settings) -> list[TaskData]:
    """One source of data for each model of the recipe, in order; tokenised by what stands beside that model."""
    from solera.cli.calibration import batches_of
    from solera.learn.coefficients import TaskData
    from solera.learn.coefficients.experts import reference
    from solera.learn.statistics import Cut

    models = recipe.merge.models
    if not asked.data:
        fix = "solera learn coefficients RECIPE --data a.jsonl --data b.jsonl -o FOLDER"
        raise BadParameter("There is no calibration data.", want="--data for each model, or --testbed", fix=fix)
    if len(asked.data) != len(models):
        raise BadParameter("Every model needs its own data.", got=f"{len(asked.data)} for {len(models)} models")
    cut = Cut(asked.samples or card.samples, said.batch, asked.length)
    bed = (asked.size, asked.seed, asked.cache)
    return [
        TaskData(name, _unlabelled(batches_of(name, reference(models[k]), cut, bed)), k)
        for k, name in enumerate(asked.data)
    ]


def _unlabelled(batches: Sequence[Batch]) -> tuple[Batch, ...]:
    """Inputs without classes; labels that are tokens stay, since encoder-decoders read them."""
    return tuple(b if b.labels is not None and b.labels.dim() > 1 else replace(b, labels=None) for b in batches)


def matches_of(patterns: Sequence[str]) -> tuple[Match, ...] | None:
    """What keeps the base's values: globs over names, or roles; None where nothing is said.

    Example:
        >>> matches_of(["norm", "*.bias"])[1].name
        '*.bias'
        >>> matches_of(["nothing"]), matches_of([])
        ((), None)
    """
    from solera.recipe.values import Match

    if not patterns:
        return None
    if list(patterns) == [NOTHING]:
        return ()
    return tuple(Match(name=one) if set(one) & set("*?[.") else Match(role=(one,)) for one in patterns)


def settings_of(pairs: Sequence[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as the user gave them: options of the command, and NAME=VALUE.

    Raises:
        BadParameter: a pair is none.

    Example:
        >>> settings_of(["hidden=1", "keep=best"], {"steps": 5, "rate": None})
        {'steps': 5, 'hidden': 1, 'keep': 'best'}
    """
    found = {name: value for name, value in known.items() if value is not None}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise BadParameter("A setting is not readable.", got=pair, want="NAME=VALUE, such as temperature=2")
        found[name.strip().replace("-", "_")] = _value(text.strip())
    return found


def _value(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def as_lines(result: Result) -> str:
    """What was learnt, in two columns, and how to go on."""
    learnt = result.learnt
    mean = [sum(column) / len(column) for column in zip(*learnt.coefficients.values(), strict=True)]
    table = {
        "learner": learnt.learner,
        "steps": f"{learnt.chosen}{f' ({learnt.stopped})' if learnt.stopped else ''}",
        "loss": f"{learnt.losses[0]:.6g} -> {learnt.losses[-1]:.6g}",
        "coefficients": f"{len(learnt.coefficients)} x {len(learnt.models)}",
        **{f"  {Path(m.model).name}": f"mean {value:.4f}" for m, value in zip(learnt.models, mean, strict=True)},
        "seconds": learnt.seconds,
        "recipe": result.recipe_path,
        "artefact": result.artefact_path,
        "next": f"solera merge {result.recipe_path} OUT",
    }
    return rows(table)


def as_plain(result: Result) -> dict[str, Any]:
    """The artefact, and where recipe and artefact lie."""
    return {"recipe": str(result.recipe_path), "artefact": str(result.artefact_path), **result.learnt.plain()}


def card_lines(cards: Sequence[LearnCard]) -> str:
    """Learners with what they minimise."""
    return rows({card.name: card.summary for card in cards})


def card_plain(card: LearnCard) -> dict[str, Any]:
    """A card as plain data."""
    from dataclasses import asdict

    return {**asdict(card), "defaults": card.defaults.plain()}


def card_in_full(card: LearnCard) -> str:
    """A card with its defaults."""
    facts = {
        "paper": card.paper,
        "code": card.code,
        "parity": card.parity,
        "needs": "unlabelled data of every task" + (", experts that answer" if card.experts else ", a head"),
        "samples": card.samples,
        "vectors": " + ".join(use.name for use in card.vectors),
        "kept": ", ".join(match.name or ", ".join(match.role) for match in card.frozen),
    }
    said = {name: value for name, value in card.defaults.plain().items() if name != "options"}
    blocks = [f"{card.name}: {card.summary}", rows({k: v for k, v in facts.items() if v}), "settings"]
    return "\n\n".join([*blocks, rows({**said, **card.defaults.options}), *card.deviations])
