"""Whole-model summaries: sweeps over the tensors of a population, as many as it takes.

Order statistics take two. One is enough where there is little to rank, or a sample says between which magnitudes they
lie and is right: what the sweep finds is exact either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from solera.execute.announcing import announce
from solera.execute.fused import FusedRun
from solera.execute.job import Job, Listener, Progress, Sweep
from solera.execute.makers import Maker, makers_for, summary_of
from solera.execute.sampling import RUN, places
from solera.ops.kernels import SummaryPass
from solera.ops.kernels.ranking import Aim, Small
from solera.plan.tasks import PopulationStage

WORTH, FEW = 1 << 22, 1 << 22
"""Elements of a population that is worth a sample; elements of all models together that are kept and ranked at once."""


def sweep(job: Job, stage: PopulationStage, listener: Listener) -> Any:
    """The summary of a stage."""
    makers = makers_for(job.engine, stage.tasks)
    summary = summary_of(stage, makers)
    result, first = _at_once(job, stage, makers, summary, listener)
    for round_ in range(first, summary.rounds):
        state = _round(job, Sweep(stage, makers, summary, round_, result), listener)
        result = summary.finish(round_, state)
    return result


def _round(job: Job, sweep: Sweep, listener: Listener) -> Any:
    """One sweep: the joined state of all tasks."""
    tasks = sweep.stage.tasks
    progress = Progress(listener, sum(t.numel for t in tasks), "summary")
    announce(job.engine.reader, job.plan, tasks)
    state = sweep.summary.init(sweep.round, sweep.previous)
    for part in job.backend.states(job, sweep, progress):
        state = sweep.summary.merge(state, part)
    return state


def _at_once(
    job: Job, stage: PopulationStage, makers: Sequence[Maker], summary: Any, listener: Listener
) -> tuple[Any, int]:
    """What two counting rounds find, and 2, where one sweep is enough; else nothing, and 0."""
    aim = _guess(makers, summary) if job.engine.budget is None else ()
    if not aim:
        return None, 0
    found = summary.settled(_round(job, Sweep(stage, makers, summary, 0, aim), listener))
    return found, 0 if found is None else 2


def _guess(makers: Sequence[Maker], summary: Any) -> Aim:
    """How one sweep may be enough: the population is small, or a sample tells where its order statistics lie."""
    runs = [maker for maker in makers if isinstance(maker, FusedRun)]
    sizes = np.array([run.leaf.task.numel for run in runs], np.int64)
    if not isinstance(summary, SummaryPass) or not summary.ranks or len(runs) < len(makers):
        return ()
    if sizes.sum() * summary.models <= FEW:
        return Small()
    if sizes.sum() < WORTH or any(run.fetches for run in runs):
        return ()
    state = summary.init(0, None, aim=Small())
    fine = all(runs[k].sample(summary, state, starts) for k, starts in places(sizes))
    return summary.guess(state, RUN) if fine else ()
