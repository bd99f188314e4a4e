"""One display for all long verbs, fed by events: bars on a terminal, lines elsewhere, always on standard error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from solera.types import Event

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

Listener = Callable[[Event], None]


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
    """A line at the start of a stage and at every tenth of it: for logs."""

    console: Console
    tenths: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "warning":
            _warn(self.console, event)
        elif event.kind == "started":
            self._say(f"{event.stage}: {event.message}" if event.message else event.stage)
        elif event.kind == "progress" and event.total:
            self._tenth(event)

    def _tenth(self, event: Event) -> None:
        tenth = 10 * event.done // event.total
        with self.lock:
            before = self.tenths.get(event.stage, 0)
            self.tenths[event.stage] = max(before, tenth)
        if tenth > before:
            self._say(f"{event.stage}: {10 * tenth} %")

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


@dataclass(eq=False)
class Bars:
    """One bar per stage, with what is done, the rate and the time left."""

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
                self.rows[stage] = self.bars.add_task(stage, total=None)
            return self.rows[stage]


def _warn(console: Console, event: Event) -> None:
    console.print(f"warning: {event.message}", markup=False, style="yellow", soft_wrap=True)


def _bars(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console)
