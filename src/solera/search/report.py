"""What a search leaves: the chosen recipes, a report, a figure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solera.errors import RunError
from solera.recipe import to_yaml
from solera.search.contract import WHOLE, Job, Outcome, Problem
from solera.search.evolve import Found, Trial, outcomes
from solera.search.log import Log
from solera.search.objectives import Objective, front, values_of
from solera.search.space import Genome
from solera.search.workers import Workers

REPORT = "report.json"
BEST = "best.yaml"
FRONT = "front"
FIGURE = "search.png"
NEAR = 0.01
"""How far test scores of a task may lie apart, beside two items of it, where a model is made in two ways."""


@dataclass(frozen=True, slots=True)
class Row:
    """A genome with its scores on all items: task -> score, and the objectives, more is better."""

    genome: Genome
    validation: Mapping[str, float]
    test: Mapping[str, float]
    values: tuple[float, ...]
    test_values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found.

    Attributes:
        best: of one objective the best genome, of several the one with the highest sum on the front.
        start: where the search began. front: of several objectives, by the first; otherwise the best alone.
        items: scored during the search; `whole` would have been scored by scoring every trial on all items.
        by_recipe: test scores of what the best recipe makes, where the search made its models in another way.
    """

    best: Row
    start: Row
    front: tuple[Row, ...]
    found: Found
    items: int
    whole: int
    by_recipe: Mapping[str, float] | None = None


def conclude(
    found: Found, objectives: Sequence[Objective], workers: Workers, log: Log, *, finalists: int = 1, each: int = 0
) -> Result:
    """Score the start and the best genomes on all validation items, choose by that, and score what is chosen on test.

    Args:
        found: the trials.
        objectives: as in the search.
        workers: as in the search.
        log: as in the search.
        finalists: how many of the best trials are looked at, where the search had one objective; more than one where it
            went by parts of the items or by estimates.
        each: items that a candidate is scored on where it is scored on all that its objectives ask for.

    Raises:
        RunError: no trial has scores.
    """
    scored = [trial for trial in found.trials if trial.values is not None]
    if not scored:
        raise RunError("No candidate can be scored.", got=found.trials[0].failed if found.trials else "no trial")
    genomes = [trial.genome for trial in _promising(scored, len(objectives), finalists)]
    start = found.trials[0].genome
    told = _whole([start, *genomes], workers, log, "validation")
    kept = _chosen(genomes, [_values(objectives, outcome) for outcome in told[1:]])
    tested = _whole([start, *kept], workers, log, "test")
    by_genome = dict(zip([start, *genomes], told, strict=True))
    rows = [
        _row(genome, by_genome[genome], outcome, objectives)
        for genome, outcome in zip([start, *kept], tested, strict=True)
    ]
    best = max(rows[1:], key=lambda row: math.fsum(row.values))
    items = sum(trial.items for trial in found.trials)
    again = None
    if workers.setup.problem.indirect:
        outcome = outcomes([Job(best.genome, WHOLE, "test", by_recipe=True)], workers, log)[0]
        again = _same(best.test, outcome, test_items=tested[0].items)
    return Result(best, rows[0], tuple(rows[1:]), found, items, each * len(found.trials), again)


def _same(live: Mapping[str, float], made: Outcome, *, test_items: int) -> Mapping[str, float]:
    """Refuse a recipe that makes another model than the one that was scored."""
    near = NEAR + 2 * len(live) / max(1, test_items)
    if made.failed or any(abs(score - made.scores[task]) > near for task, score in live.items()):
        raise RunError(
            "The recipe does not make the model that was scored.", got=made.failed or dict(made.scores),
            want=dict(live), fix="search without scales: --scales none",
        )  # fmt: skip
    return made.scores


def _promising(scored: Sequence[Trial], objectives: int, finalists: int) -> list[Trial]:
    """The front; of one objective the best trials, those that went furthest in a race before others."""
    if objectives > 1:
        return [scored[k] for k in front([trial.values or () for trial in scored])]
    return sorted(scored, key=lambda trial: (-trial.reached, -(trial.values or (0.0,))[0]))[:finalists]


def _chosen(genomes: Sequence[Genome], values: Sequence[tuple[float, ...]]) -> list[Genome]:
    return [genomes[k] for k in front(values)]


def _whole(genomes: Sequence[Genome], workers: Workers, log: Log, split: Any) -> list[Outcome]:
    return outcomes([Job(genome, WHOLE, split) for genome in genomes], workers, log)


def _values(objectives: Sequence[Objective], outcome: Outcome) -> tuple[float, ...]:
    found = None if outcome.failed else values_of(objectives, outcome.scores)
    return (-math.inf,) * len(objectives) if found is None else found


def _row(genome: Genome, validation: Outcome, test: Outcome, objectives: Sequence[Objective]) -> Row:
    values, test_values = _values(objectives, validation), _values(objectives, test)
    return Row(genome, validation.scores, test.scores, values, test_values)


def as_json(
    result: Result, problem: Problem, objectives: Sequence[Objective], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """The report as plain data."""
    names = [each.text for each in objectives]
    trials = result.found.trials
    return {
        **extra,
        "objectives": names,
        "evaluations": len(trials),
        "failed": sum(bool(trial.failed) for trial in trials),
        "stopped": result.found.stopped,
        "items": {"scored": result.items, "of": result.whole},
        "seconds": {
            "merge": round(math.fsum(trial.merge_s for trial in trials), 3),
            "score": round(math.fsum(trial.score_s for trial in trials), 3),
        },
        "best": _plain(result.best, problem, names),
        "best by its recipe, test": result.by_recipe,
        "start": _plain(result.start, problem, names),
        "front": [_plain(row, problem, names) for row in result.front] if len(names) > 1 else [],
        "curve": curve(trials),
    }


def _plain(row: Row, problem: Problem, names: Sequence[str]) -> dict[str, Any]:
    return {
        "genes": problem.space.named(row.genome),
        "validation": {**dict(zip(names, row.values, strict=True)), "tasks": dict(row.validation)},
        "test": {**dict(zip(names, row.test_values, strict=True)), "tasks": dict(row.test)},
    }


def curve(trials: Sequence[Trial]) -> list[float | None]:
    """The best value of the first objective after every evaluation.

    Example:
        >>> curve([Trial((0.1,), None, {}, 0), Trial((0.2,), (0.5,), {}, 1), Trial((0.3,), (0.4,), {}, 1)])
        [None, 0.5, 0.5]
    """
    best: float | None = None
    found = []
    for trial in trials:
        if trial.values is not None and (best is None or trial.values[0] > best):
            best = trial.values[0]
        found.append(best)
    return found


def write(result: Result, problem: Problem, folder: Path, report: Mapping[str, Any]) -> list[Path]:
    """Write best.yaml, the front's recipes, report.json, and a figure where matplotlib is installed."""
    places = [_write(folder / BEST, to_yaml(problem.recipe(result.best.genome)))]
    if len(result.best.values) > 1:
        for number, row in enumerate(result.front):
            places.append(_write(folder / FRONT / f"{number:02d}.yaml", to_yaml(problem.recipe(row.genome))))
    places.append(_write(folder / REPORT, json.dumps(report, indent=1, default=str) + "\n"))
    return places + _figure(result, folder, report)


def _write(place: Path, text: str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.part")
    part.write_text(text, encoding="utf-8")
    return part.replace(place)


def _figure(result: Result, folder: Path, report: Mapping[str, Any]) -> list[Path]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    names = report["objectives"]
    if len(names) > 1:
        points = [trial.values for trial in result.found.trials if trial.values is not None]
        axes.plot(*zip(*[point[:2] for point in points], strict=True), ".", color="0.7", label="evaluated")
        axes.plot(*zip(*[row.values[:2] for row in result.front], strict=True), "o-", label="front")
        axes.plot(*result.start.values[:2], "x", label="start")
        axes.set(xlabel=f"{names[0]}, validation", ylabel=f"{names[1]}, validation")
    else:
        axes.plot(
            range(1, len(report["curve"]) + 1),
            [math.nan if v is None else v for v in report["curve"]],
            label="best so far",
        )
        axes.axhline(result.start.values[0], linestyle=":", color="0.4", label="start")
        axes.set(xlabel="evaluations", ylabel=f"{names[0]}, validation")
    axes.legend(frameon=False)
    place = folder / FIGURE
    figure.savefig(place, dpi=150)
    return [place]
