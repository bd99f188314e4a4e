"""Reading ranges of pinned objects: many at once, ahead of need, repeated when they fail, all counted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from solera.checkpoints.remote.address import AHEAD, Pinned
from solera.checkpoints.remote.ahead import Ahead
from solera.checkpoints.remote.doors import Door, door_to
from solera.checkpoints.remote.patience import Passing, Patience, persistently
from solera.checkpoints.remote.schedule import Extent, Schedule, Segment, scheduled
from solera.checkpoints.remote.trouble import Gone, Moved, changed, exhausted
from solera.errors import CorruptFile

if TYPE_CHECKING:
    import numpy as np

LONGEST, SHORTEST = 8 << 20, 1 << 20
"""Bytes of one request, where many objects are read at once and where few are."""
CONNECTIONS = 16


def fetch(door: Door, what: Pinned, start: int, stop: int, patience: Patience) -> Any:
    """Exactly bytes [start, stop) of an object as it was first seen.

    Raises:
        SourceChanged: it is another one now, or gone. CorruptFile: it ends early. CheckpointError: no access, or the
            server failed as often as `patience` allows.
    """
    try:
        got = persistently(lambda: door.get(what.name, start, stop, what.pin), patience)
    except Moved:
        raise changed(what.address, "another object is there now") from None
    except Gone:
        raise changed(what.address, "the object is gone") from None
    except Passing as last:
        raise exhausted(what.address, last, patience.attempts) from None
    if got.entry.size != what.size:
        raise changed(what.address, f"{got.entry.size} bytes, {what.size} at the first look")
    if len(memoryview(got.data)) != stop - start:
        raise CorruptFile("The object ends early.", where=what.address, want=f"{stop - start} bytes from {start}")
    return got.data


class RemoteReader:
    """The part of a `FileReader` that reads pinned addresses; safe to share between threads.

    `announce` says what a run will read, in order: requests then run ahead of it, and take nothing else. What was not
    announced is read as asked, in growing steps where it is read in order.
    """

    def __init__(self, *, patience: Patience | None = None, ahead: int = AHEAD, connections: int = CONNECTIONS) -> None:
        """Hold at most about `ahead` bytes, over `connections` at once."""
        self.bytes_read = 0
        self._patience = patience or Patience.of_environment()
        self._budget, self._connections = ahead, connections
        self._doors: dict[tuple[str, str], Door] = {}
        self._lock = threading.RLock()
        self._schedule, self._cursor, self._live = Schedule(), 0, 0
        self._read: deque[Segment] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._ahead = Ahead(self._fetch, ahead)

    def announce(self, units: Iterable[Iterable[Extent]], *, threads: int = 1) -> None:
        """Say what `threads` workers will read, one unit of work after the other; replaces what was said before."""
        units = [list(unit) for unit in units]
        widest = max((len({path for path, _, _ in unit}) for unit in units), default=1)
        longest = max(SHORTEST, min(LONGEST, self._budget // max(1, widest * (threads + 1))))
        with self._lock:
            self._drop()
            self._schedule, self._cursor = scheduled(units, longest), 0

    def exactly(self) -> None:
        """From now on fetch what is asked for and not a byte more: for runs whose bytes are counted."""
        self._ahead.grows = False

    def pread(
        self, path: str, offset: int, nbytes: int, out: np.ndarray[Any, np.dtype[np.uint8]] | None = None
    ) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """As `FileReader.pread`, of a pinned address."""
        import numpy as np

        out, done, what = np.empty(nbytes, dtype=np.uint8) if out is None else out, 0, Pinned.read(path)
        if offset + nbytes > (size := what.size):
            raise CorruptFile("The object ends early.", where=what.address, want=f"{nbytes} bytes from {offset}")
        while done < nbytes:
            count, data = self._some(path, offset + done, offset + nbytes, size)
            out[done : done + count] = np.frombuffer(data, dtype=np.uint8)
            done += count
        return out

    def close(self) -> None:
        """Stop reading ahead, and let all bytes go; the reader can be used again."""
        with self._lock:
            self._drop()
            self._schedule = Schedule()
            pool, self._pool = self._pool, None
        self._ahead.clear()
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _some(self, path: str, start: int, stop: int, size: int) -> tuple[int, Any]:
        """Some of the bytes from `start` on."""
        segment, following = self._schedule.at(path, start)
        if segment is None or segment.spent or self._is_stray(segment, start):
            limit = segment.stop if segment else following
            return self._ahead.read(path, start, min(stop, limit) if limit > 0 else stop, size)
        data = self._answer(segment)
        upto = min(stop, segment.stop)
        view = memoryview(data)[start - segment.start : upto - segment.start]
        self._used(segment, upto - start)
        return upto - start, view

    def _is_stray(self, segment: Segment, start: int) -> bool:
        """Whether a read is not part of the announced work: a sample from the middle of what is far from due."""
        return segment.answer is None and start != segment.start and segment.order > self._cursor + self._connections

    def _answer(self, segment: Segment) -> Any:
        """Bytes of a segment: those that are on their way, or asked for now."""
        with self._lock:
            mine = segment.answer is None
            if mine:
                self._make_room(segment)
                segment.answer, self._live = Future(), self._live + segment.size
            answer = segment.answer
            self._cursor = max(self._cursor, segment.order + 1)
            self._run_ahead()
        assert answer is not None
        if mine:
            self._settle(segment, answer)
        return answer.result()

    def _settle(self, segment: Segment, answer: Future[Any]) -> None:
        try:
            answer.set_result(self._fetch(segment.path, segment.start, segment.stop))
        except BaseException as error:  # noqa: BLE001 - whoever waits for it raises it
            answer.set_exception(error)

    def _used(self, segment: Segment, nbytes: int) -> None:
        with self._lock:
            segment.left -= nbytes
            if segment.left <= 0 and segment.answer is not None and segment not in self._read:
                self._read.append(segment)  # kept a little: some come back to what they had
                while sum(old.size for old in self._read) > self._budget // 4:
                    self._let_go(self._read.popleft())
                self._run_ahead()

    def _let_go(self, segment: Segment) -> None:
        segment.spent, segment.answer = True, None
        self._live -= segment.size

    def _run_ahead(self) -> None:
        """Ask for what comes next, while there is room; called with the lock held."""
        segments, at = self._schedule.segments, self._cursor
        while at < len(segments) and self._live + segments[at].size <= self._budget:
            segment = segments[at]
            if segment.answer is None and not segment.spent:
                segment.answer, self._live = Future(), self._live + segment.size
                self._workers().submit(self._settle, segment, segment.answer)
            at += 1
        self._cursor = at

    def _make_room(self, wanted: Segment) -> None:
        """Let go of bytes that were fetched for units long past, which nobody may come for; with the lock held."""
        if self._live + wanted.size <= self._budget:
            return
        for segment in self._schedule.segments[: wanted.order]:
            stale = segment.answer is not None and segment.answer.done() and wanted.rank - segment.rank > 64
            if stale and segment not in self._read:
                self._let_go(segment)

    def _drop(self) -> None:
        for segment in self._schedule.segments:
            segment.answer, segment.spent = None, True
        self._live = 0
        self._read.clear()

    def _workers(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._connections, thread_name_prefix="solera-remote")
        return self._pool

    def _fetch(self, path: str, start: int, stop: int) -> Any:
        what = Pinned.read(path)
        data = fetch(self._door(what), what, start, stop, self._patience)
        with self._lock:
            self.bytes_read += stop - start
        return data

    def _door(self, what: Pinned) -> Door:
        key = (what.folder, what.name if what.folder.startswith("http") else "")
        with self._lock:
            if key not in self._doors:
                self._doors[key] = door_to(what.folder, key[1], patience=self._patience)
            return self._doors[key]
