"""The loop: ask an optimizer, score what is new, tell; until the evaluations are spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from solera.errors import BadParameter, RunError
from solera.search.contract import Job, Outcome
from solera.search.log import Log, key_of
from solera.search.objectives import Objective, values_of
from solera.search.optimizers import Optimizer
from solera.search.racing import Race, Run, capped, run_race
from solera.search.space import Genome, Space
from solera.search.workers import Workers
from solera.types import Event

Listener = Callable[[Event], None]
PATIENCE = 10
"""Populations in a row without a new genome after which a search is over."""

Estimate = Callable[[Outcome], Mapping[str, float]]
"""What tasks would score on all items, from an outcome on some."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One genome that was evaluated.

    Attributes:
        values: of the objectives, more is better; None where it failed.
        scores: task -> score (estimated, where items are a part). items: how many were scored.
        reached: round of the race; 0 where there is one round.
    """

    genome: Genome
    values: tuple[float, ...] | None
    scores: Mapping[str, float]
    items: int
    reached: int = 0
    failed: str = ""
    merge_s: float = 0.0
    score_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """How a search goes.

    Attributes:
        evaluations: genomes that are scored, each once.
        objectives: one, or several for a front.
        race: rounds of items. each: outcomes hold the number of every item, for `estimate`.
        estimate: None takes scores as they are.
    """

    evaluations: int
    objectives: tuple[Objective, ...]
    race: Race = field(default_factory=Race)
    each: bool = False
    estimate: Estimate | None = None

    def __post_init__(self) -> None:
        """Check the budget.

        Raises:
            BadParameter: it is not positive.
        """
        if self.evaluations < 1:
            raise BadParameter("`--evaluations` is not usable.", got=self.evaluations, want="1 or more")


@dataclass(frozen=True, slots=True)
class Found:
    """All trials in the order in which they were asked for, and why the search ended."""

    trials: tuple[Trial, ...]
    stopped: Literal["evaluations", "settled", "exhausted"]


def evolve(
    space: Space, optimizer: Optimizer, workers: Workers, asked: Asked, log: Log, on_event: Listener | None = None
) -> Found:
    """Search a space.

    A genome that was scored before, in this search or by the log, is not scored again and costs no evaluation. So a
    search that was stopped goes on from its log to the result that it would have had, whatever the number of workers.

    Raises:
        RunError: all genomes of the first population failed; workers were killed; an outcome is missing.
    """
    search = _Search(space, workers, asked, log, on_event or (lambda _event: None))
    idle = 0
    while len(search.trials) < asked.evaluations:
        if optimizer.settled:
            return search.found("settled")
        points = optimizer.ask()
        genomes = [space.at(point) for point in points]
        idle = 0 if search.evaluate(genomes) else idle + 1
        if idle >= PATIENCE:
            return search.found("exhausted")
        if not all(genome in search.trials for genome in genomes):
            break  # the last population was cut short: there is nothing left to tell
        optimizer.tell(points, search.losses(genomes))
    return search.found("evaluations")


@dataclass(eq=False)
class _Search:
    """Trials so far, and how to get more."""

    space: Space
    workers: Workers
    asked: Asked
    log: Log
    listener: Listener
    trials: dict[Genome, Trial] = field(default_factory=dict)

    def evaluate(self, genomes: Sequence[Genome]) -> int:
        """Evaluate what is new, as far as the budget goes; how many that were."""
        left = self.asked.evaluations - len(self.trials)
        new = [genome for genome in dict.fromkeys(genomes) if genome not in self.trials][:left]
        for genome, run in zip(new, run_race(self.asked.race, new, self._scored, self._rank), strict=True):
            self.trials[genome] = self._trial(genome, run)
        self._check()
        self._tell()
        return len(new)

    def losses(self, genomes: Sequence[Genome]) -> list[tuple[float, ...] | None]:
        """What the optimizer is told, less is better."""
        rows = [self.trials[genome] for genome in genomes]
        columns = []
        for k in range(len(self.asked.objectives)):
            values = [None if row.values is None else row.values[k] for row in rows]
            columns.append(capped(values, [row.reached for row in rows]))
        return [None if None in row else tuple(-v for v in row) for row in zip(*columns, strict=True)]  # type: ignore[operator]

    def found(self, stopped: Literal["evaluations", "settled", "exhausted"]) -> Found:
        """The end."""
        return Found(tuple(self.trials.values()), stopped)

    def _scored(self, genomes: Sequence[Genome], items: str) -> list[Outcome]:
        jobs = [Job(genome, items, each=self.asked.each) for genome in genomes]
        return outcomes(jobs, self.workers, self.log, self._progress)

    def _progress(self, done: int) -> None:
        del done
        self._tell()

    def _tell(self) -> None:
        done = len(self.trials)
        self.listener(Event("progress", "search", self._best(), done, self.asked.evaluations, "evaluations"))

    def _best(self) -> str:
        values = [trial.values[0] for trial in self.trials.values() if trial.values is not None]
        return f"best {max(values):.4f}" if values else ""

    def _rank(self, outcome: Outcome) -> float:
        values = None if outcome.failed else values_of(self.asked.objectives, self._scores(outcome))
        return -math.inf if values is None else math.fsum(values)

    def _scores(self, outcome: Outcome) -> Mapping[str, float]:
        return outcome.scores if self.asked.estimate is None else self.asked.estimate(outcome)

    def _trial(self, genome: Genome, run: Run) -> Trial:
        outcome = run.outcome
        scores = {} if outcome.failed else self._scores(outcome)
        values = None if outcome.failed else values_of(self.asked.objectives, scores)
        failed = outcome.failed or ("" if values is not None else "a score is no finite number")
        return Trial(genome, values, scores, outcome.items, run.reached, failed, outcome.merge_s, outcome.score_s)

    def _check(self) -> None:
        if self.trials and all(trial.failed for trial in self.trials.values()):
            first = next(iter(self.trials.values()))
            raise RunError(
                f"None of the first {len(self.trials)} candidates can be scored.", got=first.failed,
                fix="look at the recipe and at the ranges of its genes",
            )  # fmt: skip


def outcomes(
    jobs: Sequence[Job], workers: Workers, log: Log, progress: Callable[[int], None] | None = None
) -> list[Outcome]:
    """Outcomes of jobs, in their order: from the log where it has them, else from the workers, and then kept."""
    new = {key_of(job): job for job in jobs if log.get(job) is None}
    done: Iterator[tuple[Job, Outcome]] = workers.run(list(new.values()))
    for count, (job, outcome) in enumerate(done, 1):
        log.put(job, outcome)
        if progress is not None:
            progress(count)
    found = [log.get(job) for job in jobs]
    if any(outcome is None for outcome in found):
        raise RunError("A worker did not answer.", fix="go on with --resume")
    return [outcome for outcome in found if outcome is not None]
