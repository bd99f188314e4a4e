"""Read-ahead for readers that announce nothing: what is read in order comes in growing steps, all else as asked."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Fetch = Callable[[str, int, int], Any]
RUNS = 8
"""Runs remembered: a thread that reads one object in order is one."""


@dataclass(eq=False)
class Run:
    """The last bytes fetched for a thread from an object: [start, stop), and how much was asked for at once."""

    start: int
    stop: int
    step: int
    data: Any


class Ahead:
    """Doubles the step while a thread reads on where it stopped; at most `budget` bytes are kept in all."""

    def __init__(self, fetch: Fetch, budget: int) -> None:
        """Fetch by `fetch(path, start, stop)`."""
        self._fetch, self._budget = fetch, budget
        self.grows = True
        self._runs: OrderedDict[tuple[int, str], Run] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str, start: int, stop: int, end: int) -> tuple[int, Any]:
        """Bytes from `start` up to `stop` or less: (how many, a buffer); `end` is the object's size.

        Cost: a request where the bytes are not at hand.
        """
        key = (threading.get_ident(), path)
        run = self._runs.get(key)
        if run is None or not run.start <= start < run.stop:
            run = self._next(key, run, start, stop, end)
        upto = min(stop, run.stop)
        return upto - start, memoryview(run.data)[start - run.start : upto - run.start]

    def _next(self, key: tuple[int, str], last: Run | None, start: int, stop: int, end: int) -> Run:
        step = stop - start
        if self.grows and last is not None and last.stop == start:
            step = max(step, min(2 * last.step, self._budget // (2 * RUNS)))
        upto = min(end, start + step)
        run = Run(start, upto, step, self._fetch(key[1], start, upto))
        with self._lock:
            self._runs[key] = run
            self._runs.move_to_end(key)
            while len(self._runs) > RUNS:
                self._runs.popitem(last=False)
        return run

    def clear(self) -> None:
        """Let all bytes go."""
        with self._lock:
            self._runs.clear()
