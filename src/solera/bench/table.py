"""The leaderboard in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from solera.bench import words
from solera.bench.leaderboard import Board, Line

COLUMNS = ("tuned", "95 %", "default", "gain", "unseen", "corrupt", "sec", "read", "mem")
EXPLAINED = (
    "% of the experts' score; unseen: plain score. tuned: held-in, at most 8 evaluations; gain: over average. "
    "read, mem: MB of weights read, predicted peak. "
)


def shown(board: Board, console: Console) -> None:
    """Print a leaderboard: one row for each entry, by its tuned score; the untuned one beside it."""
    seeds = len(board.beds)
    title = f"{board.testbed} {board.size}, {board.variant}, {seeds} seed{'s' if seeds > 1 else ''}"
    table = Table(title=title, caption=EXPLAINED + words.MARKS, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("entry", no_wrap=True, max_width=24)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for line, default in ordered(board):
        table.add_row(*_cells(line, default))
    console.print(table)
    for (entry, mode), why in board.failed.items():
        console.print(f"failed: {entry} ({mode}): {why}")


def ordered(board: Board) -> Iterator[tuple[Line, Line | None]]:
    """(line that counts, line with default parameters) of every entry, best first."""
    for line in board.lines:
        entry, mode = line.name
        if mode == "tuned":
            yield line, board.line(entry, "default")
        elif board.line(entry, "tuned") is None:
            yield line, line


def _cells(line: Line, default: Line | None) -> list[str]:
    held = line.groups["held-in"]
    return [
        words.title(line).partition(",")[0],
        words.plain(held),
        words.bounds(held),
        words.plain(default.groups["held-in"]) if default else "–",
        words.plain(line.gain, signed=True),
        words.plain(line.groups.get("unseen")),
        words.plain(line.groups.get("corrupted")),
        words.seconds(line.seconds),
        words.megabytes(line.bytes_read),
        words.megabytes(line.memory),
    ]
