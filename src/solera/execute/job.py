"""A run in progress: what all of it shares, one sweep of it, and the contract of backends, which do the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from solera.execute.engine import Engine
from solera.execute.journal import ChunkKey, Past
from solera.execute.makers import Maker
from solera.execute.places import Place, Record
from solera.plan.tasks import Plan, PopulationStage
from solera.types import Event

if TYPE_CHECKING:
    from solera.ops.contract import Summary
    from solera.ops.kernels import SummaryPass

CHUNK = 4_194_304
"""Elements per journalled chunk: fixed, so that digests do not depend on threads or memory."""

Listener = Callable[[Event], None]
Piece = tuple[int, int]
"""(output tensor, part), by position in the plan."""
Row = tuple[ChunkKey, int, str, bool]
"""A finished chunk: its key, bytes, digest, and whether an earlier run had made it."""


@dataclass(eq=False)
class Progress:
    """Counts bytes and tells the listener; safe from several threads."""

    listener: Listener
    total: int
    stage: str
    done: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, nbytes: int) -> None:
        """Count `nbytes` more."""
        with self._lock:
            self.done += nbytes
            self.listener(Event("progress", self.stage, done=self.done, total=self.total))


@dataclass(frozen=True, eq=False)
class Sweep:
    """One round of a whole-model summary: over which tasks, how states begin, and what the round before found."""

    stage: PopulationStage
    makers: Sequence[Maker]
    summary: Summary | SummaryPass
    round: int
    previous: Any


class Backend(Protocol):
    """Who does the work of a run: the same plan, the same bytes, whoever it is."""

    @property
    def device(self) -> str | None:
        """Where steps compute, as torch names it; None for the workers' own cores."""
        ...

    @property
    def bytes_read(self) -> int:
        """Bytes read by other means than the job's own reader."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the report should say of how the work was done."""
        ...

    @property
    def counts_spending(self) -> bool:
        """Whether what is read under a budget is told to the job's reader, wherever it is read."""
        ...

    def states(self, job: Job, sweep: Sweep, progress: Progress) -> Iterator[Any]:
        """Fold every task of a sweep into states, in the order of the tasks; those of neighbours may come joined."""
        ...

    def rows(self, job: Job, pieces: Sequence[Piece], progress: Progress) -> Iterator[Sequence[Row]]:
        """Write every piece, chunk by chunk, journalling each; rows come in the order of the pieces."""
        ...


@dataclass(frozen=True, eq=False)
class Job:
    """A run in progress."""

    plan: Plan
    engine: Engine
    places: Mapping[str, Place]
    journal: Record
    past: Past
    backend: Backend
    stop: Flag = field(default_factory=Flag)
