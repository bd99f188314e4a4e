"""Ranges that a run has announced, as the requests that fetch them: joined where they touch, cut where they are long.

Nothing outside the announced ranges is ever asked for, so the bytes fetched are the bytes planned.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

Extent = tuple[str, int, int]
"""A pinned address, the first byte, the byte after the last."""
NEAR = 32
"""Units of work that one request may serve; data that are needed much later wait for a request of their own."""
SMALL = 64 << 10
"""Ranges up to this size are joined however far apart they are needed."""


@dataclass(eq=False)
class Segment:
    """One request: bytes [start, stop) of an object, needed first by unit `rank`.

    `left` bytes are still to be handed out. `answer` is None until it is asked for; `spent` when all was handed out,
    and the bytes are let go. `order` is the place among all segments.
    """

    path: str
    start: int
    stop: int
    rank: int
    left: int = 0
    answer: Future[Any] | None = None
    spent: bool = False
    order: int = field(default=0)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class Schedule:
    """Segments in the order in which they are needed, and by place in their file."""

    segments: Sequence[Segment] = ()
    places: Mapping[str, tuple[Sequence[int], Sequence[Segment]]] = field(default_factory=dict)

    def at(self, path: str, offset: int) -> tuple[Segment | None, int]:
        """The segment that holds a byte, if any; and where the next one starts (or -1)."""
        starts, segments = self.places.get(path, ((), ()))
        i = bisect_right(starts, offset) - 1
        if i >= 0 and offset < segments[i].stop:
            return segments[i], -1
        return None, starts[i + 1] if i + 1 < len(starts) else -1


def scheduled(units: Iterable[Iterable[Extent]], longest: int) -> Schedule:
    """Plan the requests for units of work, given in order; no request is longer than `longest` bytes.

    Example:
        >>> made = scheduled([[("a", 0, 10)], [("a", 10, 14), ("b", 5, 6)]], longest=8)
        >>> [(s.path, s.start, s.stop, s.rank) for s in made.segments]
        [('a', 0, 8, 0), ('a', 8, 14, 0), ('b', 5, 6, 1)]
    """
    needed: dict[str, list[tuple[int, int, int]]] = {}
    for rank, unit in enumerate(units):
        for path, start, stop in unit:
            if stop > start:
                needed.setdefault(path, []).append((start, stop, rank))
    places = {path: _requests(path, sorted(rows), longest) for path, rows in needed.items()}
    segments = sorted((s for row in places.values() for s in row), key=lambda s: s.rank)
    for order, segment in enumerate(segments):
        segment.order = order
    return Schedule(segments, {path: ([s.start for s in row], row) for path, row in places.items()})


def _requests(path: str, rows: Sequence[tuple[int, int, int]], longest: int) -> list[Segment]:
    """Join and cut the ranges of one object, sorted by place; what is announced twice is asked for once."""
    found: list[Segment] = []
    for first, stop, rank in rows:
        last = found[-1] if found else None
        start = max(first, last.stop) if last else first
        near = last is not None and (abs(rank - last.rank) <= NEAR or stop - start <= SMALL or last.size <= SMALL)
        if last is not None and last.stop == start < stop and near and last.size < longest:
            taken = min(stop, last.start + longest)
            last.stop, last.left, last.rank, start = taken, taken - last.start, min(last.rank, rank), taken
        for low in range(start, stop, longest):
            high = min(stop, low + longest)
            found.append(Segment(path, low, high, rank, high - low))
    return found
