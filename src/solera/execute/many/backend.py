"""The backend `ray`: one coordinator sends batches out, journals what comes back, and sends again what was lost."""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import solera.errors
from solera import registry
from solera.errors import RunError, SoleraError, SourceChanged
from solera.execute.budget import BudgetReader
from solera.execute.chunks import chunks_of
from solera.execute.fused import FusedRun
from solera.execute.job import Job, Piece, Progress, Row, Sweep
from solera.execute.journal import ChunkKey, boot_id
from solera.execute.many.batches import Batch, folds, kept_fields, staged_folder, writes
from solera.execute.many.cluster import Node, check_nodes, joined, no_nodes, nodes
from solera.execute.many.parcels import Done, Look, Orders, packed, unpacked
from solera.execute.many.software import methods_of, software, texts
from solera.execute.many.worker import do, look_at
from solera.types import Event

TRIES = 4
"""Times that a batch is sent out before its work is blamed for the loss of its workers."""
PATIENCE = 10.0
"""Seconds without news, after which it is asked who is left."""
AHEAD = 4
"""Batches per worker that may wait for an earlier one, where results are joined in order."""


@dataclass(slots=True)
class Turn:
    """The batch whose results are joined next, where their order matters."""

    batch: int = 0


@contextmanager
def ray_backend(address: str | None, workers: int | None) -> Iterator[RayBackend]:
    """A backend over a cluster, for one run.

    Raises:
        MissingExtra: Ray is not installed. RunError: the cluster cannot be joined.
    """
    with joined(address, workers) as ray:
        backend = RayBackend(ray, workers)
        try:
            yield backend
        finally:
            backend.close()


@dataclass(eq=False)
class RayBackend:
    """Work done by the workers of a cluster; the bytes are those of threads.

    Workers open sources themselves and write chunks by offset into the staged files, so the target and the inputs lie
    where every node sees them. What comes back are digests, counts and states of summaries.
    """

    ray: Any
    workers: int | None
    device: str | None = None
    bytes_read: int = 0
    counts_spending: bool = True
    lost: Counter[str] = field(default_factory=Counter)
    _orders: Orders | None = None
    _known: dict[str, Node] = field(default_factory=dict)
    _looks: dict[str, Look] = field(default_factory=dict)
    _phase: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was lost on the way."""
        return tuple(f"{node}: work was lost {n} times and run again" for node, n in sorted(self.lost.items()))

    def states(self, job: Job, sweep: Sweep, progress: Progress) -> Iterator[Any]:
        """Fold every task of a sweep on the workers; states of neighbours come joined, in the order of the tasks."""
        fused = isinstance(sweep.makers[0], FusedRun)
        orders = replace(self._ready(job), round=sweep.round, previous=sweep.previous, fused=fused)
        batches = folds(sweep, self._count())
        early: dict[int, Done] = {}
        turn = Turn()
        for n, done in self._done(job, orders, batches, progress, turn):
            early[n] = done
            while turn.batch in early:
                yield from early.pop(turn.batch).results
                progress.add(batches[turn.batch].elements)
                turn.batch += 1

    def rows(self, job: Job, pieces: Sequence[Piece], progress: Progress) -> Iterator[list[Row]]:
        """Write every piece on the workers; each chunk is journalled when it is reported."""
        orders, made = self._ready(job), {}
        batches = writes(job, pieces, self._count())
        new = {key for batch in batches for item in batch.items for key, *_ in item.chunks}  # type: ignore[union-attr]
        old = sum(nbytes for piece in pieces for key, nbytes in _chunks(job, piece) if key not in new)
        if old:
            progress.add(old)
        for _, done in self._done(job, orders, batches, progress):
            for key, nbytes, digest in done.results:
                job.journal.chunk(key, digest, nbytes)
                made[key] = digest
                progress.add(nbytes)
        for piece in pieces:
            yield [
                (key, nbytes, made[key], False) if key in made else (key, nbytes, job.past.chunks[key][0], True)
                for key, nbytes in _chunks(job, piece)
            ]

    def close(self) -> None:
        """Take the mark out of the staging folder."""
        if self._orders is not None:
            Path(self._orders.mark).unlink(missing_ok=True)

    def _count(self) -> int:
        """Workers at once."""
        return self.workers or max(1, sum(node.cpus for node in self._known.values()))

    def _ready(self, job: Job) -> Orders:
        """Orders for a phase; before the first one, every node is asked whether it is fit."""
        if self._orders is None:
            run, folder = uuid.uuid4().hex, staged_folder(job).parent
            mark = folder / f"run-{run[:8]}"
            methods = methods_of(job.plan)
            plugins = registry.plugins(of=methods)
            wanted = {**software({}, methods), **texts(plugins)}
            orders = Orders(run, str(mark), boot_id(), wanted, plugins, methods)
            mark.write_text(run, encoding="utf-8")
            self._orders = orders
            self._known = check_nodes(self.ray, orders)
        return replace(self._orders, engine=kept_fields(job), budget=job.plan.budget)

    def _done(
        self, job: Job, orders: Orders, batches: Sequence[Batch], progress: Progress, turn: Turn | None = None
    ) -> Iterator[tuple[int, Done]]:
        """Send batches out and give back what is done, as it comes; what is lost is sent again."""
        self._phase += 1
        phase, shared = f"{orders.run} {self._phase}", self.ray.put(packed(orders))
        send = self.ray.remote(do).options(num_cpus=1, max_retries=0)
        waiting = deque(range(len(batches)))
        running: dict[Any, int] = {}
        tries: Counter[int] = Counter()
        try:
            while waiting or running:
                while waiting and self._may_send(len(running), waiting[0], turn):
                    n = waiting.popleft()
                    running[send.remote(phase, shared, packed(batches[n].items))] = n
                for ref in self._wait(running):
                    n = running.pop(ref)
                    try:
                        done = unpacked(self.ray.get(ref))
                    except self.ray.exceptions.RayTaskError:
                        raise
                    except self.ray.exceptions.RayError as error:
                        tries[n] += 1
                        self._lose(error, tries[n], progress)
                        waiting.appendleft(n)
                        continue
                    self._take(job, done)
                    yield n, done
        finally:
            self._withdraw(list(running))

    def _may_send(self, running: int, n: int, turn: Turn | None) -> bool:
        """As many as there are workers; twice as many where Ray itself keeps to the number of cores."""
        count = self._count()
        cores = sum(node.cpus for node in self._known.values())
        if running >= (2 * count if count >= cores else count):
            return False
        return turn is None or running == 0 or n < turn.batch + AHEAD * count

    def _wait(self, running: dict[Any, int]) -> list[Any]:
        ready, _ = self.ray.wait(list(running), num_returns=1, timeout=PATIENCE)
        if not ready:
            self._known |= nodes(self.ray)
            if not nodes(self.ray):
                raise no_nodes()
        return list(ready)

    def _lose(self, error: Exception, tries: int, progress: Progress) -> None:
        """Note a loss; the same work is not sent for ever."""
        kind = type(error).__name__
        if tries >= TRIES:
            raise RunError(
                "Workers are lost again and again on the same work.",
                got=f"{tries} times, last {kind}",
                fix="lower --memory or --workers if the nodes run out of memory, and add --resume",
            ) from None
        self.lost[kind] += 1
        progress.listener(Event("warning", progress.stage, f"a worker was lost ({kind}); its work is run again"))

    def _take(self, job: Job, done: Done) -> None:
        """Check and count what a worker reports."""
        node = self._title(done.node)
        if done.failure is not None:
            fault, kind = done.failure.fault, getattr(solera.errors, done.failure.kind, RunError)
            where = (
                fault.where.replace("this node", node) if "this node" in fault.where else f"{fault.where}, on {node}"
            )
            raise kind.of(replace(fault, where=where)) if hasattr(kind, "of") else SoleraError.of(fault)
        for path, look in done.looks.items():
            mine = self._looks.setdefault(path, look_at(path))
            if look != mine:
                raise SourceChanged(
                    "An input is not the same file on all nodes, or it changed while it was in use.",
                    where=f"{path}, on {node}",
                    got=f"{look[0]:,} bytes, time {look[1]}",
                    want=f"{mine[0]:,} bytes, time {mine[1]}",
                    fix="put the models on a shared file system, or copy them with their times (rsync -a)",
                )
        self.bytes_read += done.bytes_read
        if isinstance(job.engine.reader, BudgetReader):
            job.engine.reader.spent += done.spent
        for model, ratios in done.ratios.items():
            job.engine.kinship.ratios.setdefault(model, []).extend(ratios)

    def _title(self, node: str) -> str:
        if node not in self._known:
            self._known |= nodes(self.ray)
        return self._known[node].title if node in self._known else f"node {node[:8]}"

    def _withdraw(self, refs: list[Any]) -> None:
        """Let nobody work on when the run has ended: without the mark workers stop at their next chunk.

        Ray's own way to stop a task interrupts whatever runs, imports too, and would spoil the process for the next.
        """
        if refs:
            self.close()
            self.ray.wait(refs, num_returns=len(refs), timeout=3 * PATIENCE)


def _chunks(job: Job, piece: Piece) -> Iterator[tuple[ChunkKey, int]]:
    tensor = job.plan.outputs[piece[0]]
    for c, (start, stop) in enumerate(chunks_of(tensor.parts[piece[1]])):
        yield (*piece, c), (stop - start) * tensor.dtype.itemsize
