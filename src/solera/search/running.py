"""A whole search: log, races or estimates, the loop, the choice, and the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from solera.app.holding import open_again
from solera.errors import BadParameter
from solera.search.calibrating import Estimated, estimates
from solera.search.contract import Problem, Setup, Source
from solera.search.evolve import Asked, Listener, evolve
from solera.search.items import rounds
from solera.search.log import FILE, Log
from solera.search.objectives import Objective, objective
from solera.search.optimizers import new
from solera.search.racing import Race
from solera.search.report import Result, as_json, conclude, write
from solera.search.workers import Facts, Workers

STUDY = "optuna.journal"
ANCHORS, NEEDED = "anchors", "needed"
"""Names of sets of items: those of an estimator, and all items of the tasks that objectives ask for."""
_LIBRARY = {"cmaes": "cmaes", "tpe": "optuna", "random": "optuna", "nsga2": "pymoo"}


@dataclass(frozen=True, slots=True)
class Settings:
    """How a search goes.

    Attributes:
        optimizer: see `optimizers.NAMES`. evaluations: candidates. population: None is the optimizer's own.
        objectives: ``mean``, ``worst``, tasks. seed: of the optimizer, and of draws of items.
        shares: of the items, ascending: rounds of a race, in which the share `keep` goes on.
        estimated: None scores on items as they are.
        finalists: candidates that are scored on all items at the end; None is 1, or 5 where items were a part.
    """

    optimizer: str = "cmaes"
    evaluations: int = 100
    population: int | None = None
    objectives: tuple[str, ...] = ("mean",)
    seed: int = 0
    shares: tuple[float, ...] = (1.0,)
    keep: float = 0.5
    estimated: Estimated | None = None
    finalists: int | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What a search runs on: processes, threads of each, files with methods. The result does not depend on it."""

    workers: int = 1
    threads: int = 1
    plugins: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Searched:
    """The result, the report as plain data, and the files that were written."""

    result: Result
    report: Mapping[str, Any]
    files: tuple[Path, ...] = field(default=())


def search(
    problem: Problem,
    source: Source,
    out: Path,
    settings: Settings | None = None,
    *,
    machine: Machine | None = None,
    resume: bool = False,
    on_event: Listener | None = None,
) -> Searched:
    """Search, and write ``best.yaml``, ``report.json`` and more into a folder.

    Args:
        problem: what is searched.
        source: where candidates are scored.
        out: the folder; it also holds the log that a stopped search goes on from.
        settings: how the search goes.
        machine: what it runs on.
        resume: go on with the log in the folder.
        on_event: is told of progress.

    Raises:
        BadParameter, UnknownName: a setting is not usable. RunError: the log is of another search, all candidates fail,
        workers were killed. TargetInUse: the folder has a search and `resume` was not given.
    """
    settings, machine = settings or Settings(), machine or Machine()
    listener: Listener = on_event or (lambda _event: None)
    _check(settings)
    made = new(
        settings.optimizer, problem.space, seed=settings.seed, population=settings.population,
        objectives=len(settings.objectives),
    )  # fmt: skip
    setup = Setup(source, problem, threads=machine.threads, plugins=machine.plugins)
    with Workers(setup, machine.workers) as workers:
        facts = workers.facts()
        objectives = tuple(objective(text, list(facts["validation"])) for text in settings.objectives)
        with Log(out / FILE, _header(problem, settings, facts), resume=resume) as log:
            asked, spent = _asked(problem, settings, objectives, facts, workers, log, listener)
            found = evolve(problem.space, made, workers, asked, log, listener)
            each = sum(counts_of(objectives, facts).values())
            result = conclude(found, objectives, workers, log, finalists=_finalists(settings), each=each)
        report = as_json(result, problem, objectives, _told(problem, settings, spent))
    files = write(result, problem, out, report)
    if settings.optimizer in ("tpe", "random"):
        made.keep(out / STUDY, out.name)  # type: ignore[attr-defined]
        files.append(out / STUDY)
    return Searched(result, report, tuple(files))


def _check(settings: Settings) -> None:
    if settings.evaluations < 1:
        raise BadParameter("`--evaluations` is not usable.", got=settings.evaluations, want="1 or more")
    if settings.estimated is not None and settings.shares != (1.0,):
        raise BadParameter("A race and an estimator were asked for.", want="one of them")
    if len(set(settings.objectives)) < len(settings.objectives):
        raise BadParameter("An objective is named twice.", got=", ".join(settings.objectives))


def _finalists(settings: Settings) -> int:
    part = settings.estimated is not None or settings.shares[-1] < 1
    return settings.finalists or (5 if part else 1)


def _header(problem: Problem, settings: Settings, facts: Facts) -> dict[str, Any]:
    """What a log must agree in: everything that the course of a search depends on, but for how long it goes."""
    library = _LIBRARY[settings.optimizer]
    return {
        "space": problem.space.digest,
        "problem": problem.digest,
        "models": {str(ref): open_again(ref).weak_id for ref in problem.models},
        "tasks": {f"{split}/{name}": data for split, each in facts.items() for name, (data, _) in each.items()},
        "optimizer": settings.optimizer,
        "seed": settings.seed,
        "population": settings.population,
        "objectives": list(settings.objectives),
        "items": [list(settings.shares), settings.keep],
        "estimator": None if settings.estimated is None else asdict(settings.estimated),
        "libraries": {library: version(library)},
    }


def _asked(
    problem: Problem, settings: Settings, objectives: tuple[Objective, ...], facts: Facts, workers: Workers, log: Log,
    listener: Listener,
) -> tuple[Asked, int]:  # fmt: skip
    """The search as the loop is told it, and how many items were scored before it."""
    counts = counts_of(objectives, facts)
    if settings.estimated is not None:
        made, spent = estimates(problem, settings.estimated, settings.seed, counts, workers, log, listener)
        workers.sets[ANCHORS] = made.sets
        race = Race((ANCHORS,))
        return Asked(settings.evaluations, objectives, race, each=True, estimate=made.of), spent
    if settings.shares == (1.0,):
        if len(counts) == len(facts["validation"]):
            return Asked(settings.evaluations, objectives), 0
        workers.sets[NEEDED] = {task: tuple(range(count)) for task, count in counts.items()}
        return Asked(settings.evaluations, objectives, Race((NEEDED,))), 0
    sets = rounds(counts, settings.shares, settings.seed)
    names = tuple(f"round {number}" for number in range(len(sets)))
    workers.sets.update(zip(names, sets, strict=True))
    sizes = tuple({task: len(places) for task, places in each.items()} for each in sets)
    return Asked(settings.evaluations, objectives, Race(names, sizes, settings.keep)), 0


def counts_of(objectives: Sequence[Objective], facts: Facts) -> dict[str, int]:
    """Task -> its validation items, of the tasks that an objective asks for."""
    needed = {task for each in objectives for task in each.tasks}
    return {name: count for name, (_, count) in facts["validation"].items() if name in needed}


def _told(problem: Problem, settings: Settings, spent: int) -> dict[str, Any]:
    return {
        "search": asdict(settings),
        "genes": len(problem.space),
        "space": [asdict(axis) for axis in problem.space.axes],
        "calibration_items": spent,
    }
