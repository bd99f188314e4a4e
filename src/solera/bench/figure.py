"""The picture of a leaderboard: every entry's held-in score with its interval (extra `plots`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from solera.bench import words
from solera.bench.leaderboard import AVERAGE, Board, Line
from solera.bench.measuring import BASE, EXPERTS
from solera.bench.table import ordered
from solera.errors import MissingExtra

_NAMES = {"accuracy": "accuracy", "exact": "exact match", "exact_match": "exact match", "loss": "loss"}
"""Metric -> its name on the axis."""
_TUNED, _DEFAULT = "#1b5e9b", "#c0672b"


def draw(board: Board, path: Path) -> Path:
    """Draw a leaderboard into a PNG or SVG file, by its suffix.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("plots", needed_for="the leaderboard's figure") from None
    rows = [(line, default) for line, default in ordered(board) if line.name[0] not in (BASE, EXPERTS)]
    figure = Figure(figsize=(8.5, 1.6 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots()
    _lines(axes, board)
    _dots(axes, rows)
    axes.set_title(f"{board.testbed} ({board.size}, {board.variant}): merges of {len(board.beds[0].experts)} experts")
    axes.set_xlabel(measured(board))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0 + 0.9 / max(len(rows), 8)), ncols=5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": path.name}):  # equal records give equal files
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
    return path


def measured(board: Board) -> str:
    """What the axis shows: the metric of the held-in tasks, where they have one, and how it is put together."""
    metrics = {task.metric for task in board.beds[0].tasks if task.group == "held-in"}
    metric = _NAMES.get(metrics.pop(), "score") if len(metrics) == 1 else "score"
    seeds = len(board.beds)
    return f"held-in {metric}, % of the expert's, mean of {seeds} seed{'s' if seeds > 1 else ''}, 95 % interval"


def _lines(axes: Any, board: Board) -> None:
    """Base, plain average and experts as vertical lines."""
    marks = (((BASE, "default"), "base", ":"), (AVERAGE, "average", "--"), ((EXPERTS, "default"), "experts", "-"))
    for name, label, style in marks:
        line = board.line(*name)  # type: ignore[arg-type]
        if line is not None:
            axes.axvline(100 * line.held_in, color="#777777", linestyle=style, linewidth=1, label=label, zorder=1)


def _dots(axes: Any, rows: list[tuple[Line, Line | None]]) -> None:
    places = range(len(rows), 0, -1)
    for lines, colour, label, size in (
        ([default for _, default in rows], _DEFAULT, "defaults", 3.5),
        ([line for line, _ in rows], _TUNED, "tuned", 5.0),
    ):
        known = [(line, place) for line, place in zip(lines, places, strict=True) if line is not None]
        found = [line.groups["held-in"] for line, _ in known]
        axes.errorbar(
            [100 * f.value for f in found],
            [place for _, place in known],
            xerr=[[100 * (f.value - f.low) for f in found], [100 * (f.high - f.value) for f in found]],
            fmt="o",
            color=colour,
            markersize=size,
            linewidth=1,
            label=label,
            zorder=3 if label == "tuned" else 2,
        )
    axes.set_yticks(list(places), [words.title(line).replace(" †", "†").replace(" ‡", "‡") for line, _ in rows])
    axes.set_ylim(0.2, len(rows) + 0.8)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
