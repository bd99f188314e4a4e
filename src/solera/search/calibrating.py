"""Before a search by estimates: models, and merges around the start, are scored on all items to fit these."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from solera.errors import RunError
from solera.search.contract import Job, Problem
from solera.search.evolve import Listener, outcomes
from solera.search.irt.anchors import How
from solera.search.irt.scoring import Estimates, calibrate, plain
from solera.search.log import Log
from solera.search.space import Genome, Space
from solera.search.workers import Workers
from solera.types import Event


@dataclass(frozen=True, slots=True)
class Estimated:
    """Candidates are scored on anchors, and their scores on all items are estimated: see `irt`.

    Attributes:
        name: the estimator. anchors: items of each task that are asked. how: they are chosen.
        calibration: candidates, drawn around the start, that are scored on all items beside the models themselves, so
            that items can be fitted. dimensions: of abilities; None is the number of tasks, at most 15.
    """

    name: str = "gmp-irt"
    anchors: int = 20
    how: How = "random"
    calibration: int = 16
    dimensions: int | None = None


def estimates(
    problem: Problem,
    how: Estimated,
    seed: int,
    counts: Mapping[str, int],
    workers: Workers,
    log: Log,
    listener: Listener,
) -> tuple[Estimates, int]:
    """What makes scores of answers to anchors, and how many items were scored to fit it.

    The mean of random items needs no fit.

    Raises:
        RunError: a model cannot be scored. BadParameter: the answers cannot be fitted, or there are too few items.
    """
    if how.name == "mean" and how.how == "random":
        return plain(counts, how.anchors, seed), 0
    parents = len(problem.parents)
    jobs = [Job(problem.space.start, each=True, parent=k) for k in range(parents)]
    jobs += [Job(genome, each=True) for genome in around(problem.space, how.calibration, seed)]

    def progress(done: int) -> None:
        listener(Event("progress", "calibration", done=done, total=len(jobs), unit="models"))

    told = outcomes(jobs, workers, log, progress)
    good = [outcome for outcome in told if not outcome.failed]
    if any(outcome.failed for outcome in told[:parents]) or len(good) < 2:
        why = next((outcome.failed for outcome in told if outcome.failed), "")
        raise RunError("The models cannot be scored for a calibration.", got=why)
    each = [{task: outcome.each[task] for task in counts} for outcome in good]
    dimensions = how.dimensions or min(15, len(counts))
    made = calibrate(how.name, each, parents, how.anchors, dimensions=dimensions, how=how.how, seed=seed)
    return made, sum(outcome.items for outcome in told)


def around(space: Space, count: int, seed: int) -> Sequence[Genome]:
    """Genomes drawn around the start, normal with a quarter of every range.

    Example:
        >>> from solera.search.space import Axis
        >>> len(around(Space((Axis("a"),)), 3, seed=0))
        3
    """
    draw = random.Random(f"{seed}/calibration")  # noqa: S311 - a sample, no secret
    start = space.unit(space.start)
    return [space.at([place + draw.gauss(0, 0.25) for place in start]) for _ in range(count)]
