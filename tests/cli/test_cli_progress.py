"""The display: plain lines without a terminal, bars with one, silence when asked."""

from __future__ import annotations

import io
import threading

from rich.console import Console

from solera.cli.progress import Bars, Lines, _bars, display
from solera.types import Event


def progress(done: int, total: int = 100, stage: str = "write") -> Event:
    return Event("progress", stage, done=done, total=total)


def lines(clock) -> tuple[Lines, io.StringIO]:
    text = io.StringIO()
    return Lines(Console(file=text, width=40), clock=clock, said=0.0), text


def test_lines_come_at_tenths_and_not_too_often() -> None:
    now = iter([3.0, 4.0, 9.0, 20.0])
    show, text = lines(lambda: next(now))
    for done in (10, 20, 30, 31):
        show(progress(done))
    assert text.getvalue() == "write: 10 %\nwrite: 30 %\n"


def test_long_warnings_are_one_line_each() -> None:
    show, text = lines(lambda: 0.0)
    show(Event("warning", "plan", "x" * 100))
    assert text.getvalue() == f"warning: {'x' * 100}\n"


def test_markup_in_messages_is_text() -> None:
    show, text = lines(lambda: 0.0)
    show(Event("started", "summary", "of [red]this[/red]"))
    assert "[red]this[/red]" in text.getvalue()


def test_events_without_a_total_are_ignored() -> None:
    show, text = lines(lambda: 100.0)
    show(progress(5, 0))
    assert text.getvalue() == ""


def test_bars_from_many_threads_make_one_row_per_stage() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    with _bars(console) as bars:
        show = Bars(console, bars)
        threads = [threading.Thread(target=show, args=(progress(n, stage=f"s{n % 2}"),)) for n in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(task.description for task in bars.tasks) == ["s0", "s1"]


def test_a_stage_that_ends_early_is_shown_as_done() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    with _bars(console) as bars:
        show = Bars(console, bars)
        show(progress(50, stage="summary"))
        show(progress(10, stage="write"))
        assert [(task.description, task.percentage) for task in bars.tasks] == [("summary", 100), ("write", 10)]


def test_silence(capsys) -> None:
    with display(silent=True) as show:
        show(progress(50))
        show(Event("warning", "plan", "x"))
    assert capsys.readouterr() == ("", "")


def test_no_color_is_honoured(monkeypatch, capsys) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with display() as show:
        show(Event("warning", "plan", "careful"))
    assert "\x1b[33m" not in capsys.readouterr().err
