"""One display for all long verbs, fed by events: bars on a terminal, lines elsewhere, always on standard error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from solera.types import Event

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

Listener = Callable[[Event], None]
QUIET_S = 2.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def display(*, silent: bool = False) -> Iterator[Listener]:
    """A listener for `on_event`, safe from several threads; colours follow NO_COLOR.

    Example:
        >>> with display(silent=True) as listener:
        ...     listener(Event("progress", "write", done=1, total=2))
    """
    if silent:
        yield lambda _event: None
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Lines(console)
        return
    with _bars(console) as bars:
        yield Bars(console, bars)


@dataclass(eq=False)
class Lines:
    """Lines for logs: where a stage that says something starts, then at tenths, at most one in 2 s."""

    console: Console
    clock: Callable[[], float] = time.monotonic
    said: float = field(default_factory=time.monotonic)
    tenths: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "warning":
            _warn(self.console, event)
        elif event.kind == "started" and event.message:
            self._say(f"{event.stage}: {event.message}")
        elif event.kind == "progress" and event.total:
            self._tenth(event)

    def _tenth(self, event: Event) -> None:
        tenth = 10 * event.done // event.total
        with self.lock:
            now = self.clock()
            if tenth <= self.tenths.get(event.stage, 0) or now - self.said < QUIET_S:
                return
            self.tenths[event.stage], self.said = tenth, now
        self._say(f"{event.stage}: {10 * tenth} %")

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


@dataclass(eq=False)
class Bars:
    """One bar per stage, with the share done and the time left."""

    console: Console
    bars: Progress
    rows: dict[str, TaskID] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "warning":
            _warn(self.console, event)
        elif event.kind == "progress" and event.total:
            self.bars.update(self._row(event.stage), completed=event.done, total=event.total)

    def _row(self, stage: str) -> Any:
        with self.lock:
            if stage not in self.rows:
                self._complete()
                self.rows[stage] = self.bars.add_task(stage, total=None)
            return self.rows[stage]

    def _complete(self) -> None:
        """A stage that gives way to the next is done, also when it needed less than was foreseen."""
        for task in self.bars.tasks:
            self.bars.update(task.id, completed=task.total)


def _warn(console: Console, event: Event) -> None:
    console.print(f"warning: {event.message}", markup=False, style="yellow", soft_wrap=True)


def _bars(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)
