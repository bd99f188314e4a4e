"""Jobs for one process or several: outcomes come as they are ready."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Self

from solera.errors import BadParameter, RunError
from solera.evaluate.contract import Split
from solera.search.contract import Items, Job, Outcome, Setup
from solera.search.working import Worker

Done = Iterator[tuple[Job, Outcome]]
Facts = dict[Split, dict[str, tuple[str, int]]]


@dataclass(eq=False)
class Workers:
    """Processes that keep their models between jobs. A context manager; one worker is this process.

    A worker that is killed is replaced once, and what it had not finished is done again. When workers are killed a
    second time the search stops: what was scored is in its log.

    Attributes:
        setup: what every worker is given. count: how many there are. sets: what the names of sets of items mean.
    """

    setup: Setup
    count: int = 1
    sets: dict[str, Items] = field(default_factory=dict)
    _pool: ProcessPoolExecutor | None = field(default=None, init=False)
    _here: Worker | None = field(default=None, init=False)
    _killed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Check the count.

        Raises:
            BadParameter: it is not positive.
        """
        if self.count < 1:
            raise BadParameter("`--workers` is not usable.", got=self.count, want="1 or more")

    def __enter__(self) -> Self:
        """Nothing is started before there is work."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the processes."""
        self._close()

    def run(self, jobs: Sequence[Job]) -> Done:
        """Do all jobs; pairs of job and outcome, in the order in which they are ready.

        Raises:
            RunError: workers were killed twice.
        """
        if self.count == 1:
            for job in jobs:
                yield job, self.here.run(job, self.sets.get(job.items))
            return
        left = list(jobs)
        while left:
            try:
                for job, outcome in self._pooled(left):
                    left.remove(job)
                    yield job, outcome
            except BrokenProcessPool:
                self._restart()

    @property
    def here(self) -> Worker:
        """The worker of this process."""
        if self._here is None:
            self._here = Worker(self.setup)
        return self._here

    def facts(self) -> Facts:
        """What one of the workers says of the tasks: split -> task -> digest of its items, and how many there are.

        Raises:
            RunError: the worker was killed.
        """
        if self.count == 1:
            return self.here.facts()
        try:
            return self._started().submit(_facts).result()
        except BrokenProcessPool:
            raise RunError("A worker was killed while it opened the models.", fix="is there memory?") from None

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, context, _start, (self.setup,))
        return self._pool

    def _pooled(self, jobs: Sequence[Job]) -> Done:
        pool = self._started()
        futures = {pool.submit(_work, job, self.sets.get(job.items)): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()

    def _restart(self) -> None:
        self._close()
        self._killed += 1
        if self._killed > 1:
            fix = "give fewer --workers (memory?), and go on with --resume"
            raise RunError("Workers were killed twice.", want="processes that live", fix=fix)

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


_WORKER: list[Worker] = []


def _start(setup: Setup) -> None:
    """Prepare a worker process."""
    _WORKER.append(Worker(setup))


def _work(job: Job, items: Items | None) -> Outcome:
    return _WORKER[0].run(job, items)


def _facts() -> Facts:
    return _WORKER[0].facts()
