"""The backend of one process: as many threads as asked for; with one, everything happens in the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from solera.errors import Interrupted
from solera.execute.chunks import chunks_of, missing, write_chunk
from solera.execute.job import Job, Piece, Progress, Row, Sweep
from solera.execute.makers import maker_for
from solera.execute.places import Place


@dataclass(frozen=True, slots=True)
class Threads:
    """Workers of this process."""

    count: int
    bytes_read: int = 0
    notes: tuple[str, ...] = ()
    counts_spending: bool = True

    def states(self, job: Job, sweep: Sweep, progress: Progress) -> Iterator[Any]:
        """Fold every task of a sweep; states come in the order of the tasks."""
        tasks = sweep.stage.tasks

        def fold(k: int) -> Any:
            state = sweep.makers[k].fold(sweep.stage.step, sweep.summary.init(sweep.round, sweep.previous))
            progress.add(tasks[k].numel)
            return state

        return self._in_order(job, fold, range(len(tasks)))

    def rows(self, job: Job, pieces: Sequence[Piece], progress: Progress) -> Iterator[list[Row]]:
        """Write every piece; rows come in the order of the pieces."""
        return self._in_order(job, lambda piece: list(_write(job, piece, progress)), pieces)

    def _in_order(self, job: Job, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Run `work` over items with the workers; results come in the order of the items."""
        if self.count <= 1:
            for item in items:
                yield work(item)
            return
        pool = ThreadPoolExecutor(self.count)
        try:
            futures = [pool.submit(_unless_stopped, job, work, item) for item in items]
            _await(job, futures)
            yield from (future.result() for future in futures)
        finally:
            job.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            job.stop.clear()


def _await(job: Job, futures: Sequence[Future[Any]]) -> None:
    """Wait for all; the first failure stops the rest and is raised."""
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    for future in done:
        if (error := future.exception()) is not None:
            job.stop.set()
            raise error


def _unless_stopped(job: Job, work: Callable[[Any], Any], item: Any) -> Any:
    if job.stop.is_set():
        raise Interrupted("stopped.")
    return work(item)


def _write(job: Job, piece: Piece, progress: Progress) -> Iterator[Row]:
    tensor = job.plan.outputs[piece[0]]
    part, size = tensor.parts[piece[1]], tensor.dtype.itemsize
    place = job.places[tensor.name]
    maker, todo = maker_for(job.engine, part.expr, tensor.dtype), set(missing(job, piece))
    if todo:
        maker.hold(job.engine.hold_bytes)
    at = Place(place.file, place.offset + part.start * size)
    for c, (start, stop) in enumerate(chunks_of(part)):
        key, nbytes = (*piece, c), (stop - start) * size
        if job.stop.is_set():
            raise Interrupted("stopped.")
        if c in todo:
            digest = write_chunk(maker, part.expr, start, stop, tensor.dtype, at, job.engine.block)
            job.journal.chunk(key, digest, nbytes)
            yield key, nbytes, digest, False
        else:
            yield key, nbytes, job.past.chunks[key][0], True
        progress.add(nbytes)
