"""The backend of one process: as many threads as asked for; with one, everything happens in the caller's own.

With a device, threads read and write, and the steps compute there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from solera.errors import Interrupted
from solera.execute.chunks import chunks_of, missing, write_chunk
from solera.execute.job import Job, Piece, Progress, Row, Sweep
from solera.execute.makers import maker_for
from solera.execute.places import Place

AHEAD = 32
"""Items per worker that may be under way: what the later ones give waits for the first, in memory."""


@dataclass(frozen=True, slots=True)
class Threads:
    """Workers of this process."""

    count: int
    device: str | None = None
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
            ahead: deque[Future[Any]] = deque()
            for item in items:
                ahead.append(pool.submit(_unless_stopped, job, work, item))
                if len(ahead) >= AHEAD * self.count:
                    yield _result(ahead)
            while ahead:
                yield _result(ahead)
        finally:
            job.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            job.stop.clear()


def _result(ahead: deque[Future[Any]]) -> Any:
    """What the first one gives. Where one failed, the others were stopped: its error is the one that counts."""
    first = ahead.popleft()
    try:
        return first.result()
    except Interrupted:
        for other in ahead:
            if other.done() and not isinstance(error := other.exception(), Interrupted) and error is not None:
                raise error from None
        raise


def _unless_stopped(job: Job, work: Callable[[Any], Any], item: Any) -> Any:
    if job.stop.is_set():
        raise Interrupted("stopped.")
    try:
        return work(item)
    except BaseException:
        job.stop.set()
        raise


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
