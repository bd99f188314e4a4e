"""Numbers as people read them, shared by tables and pages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from solera.bench.leaderboard import Board, Line
from solera.bench.measuring import BASE, EXPERTS
from solera.bench.statistics import Interval


def percent(found: Interval | None, *, signed: bool = False) -> str:
    """A share in percent with its interval.

    Example:
        >>> percent(Interval(0.5, 0.45, 0.551)), percent(Interval(0.01, -0.02, 0.04), signed=True), percent(None)
        ('50.0 (45.0–55.1)', '+1.0 (-2.0…+4.0)', '–')
    """
    inside = bounds(found, signed=signed)
    return plain(found, signed=signed) + (f" ({inside})" if inside else "")


def plain(found: Interval | None, *, signed: bool = False) -> str:
    """A share in percent.

    Example:
        >>> plain(Interval(0.5, 0.45, 0.551))
        '50.0'
    """
    if found is None or not math.isfinite(found.value):
        return "–"
    return f"{100 * found.value:{'+' if signed else ''}.1f}"


def bounds(found: Interval | None, *, signed: bool = False) -> str:
    """The interval of a share in percent; nothing where there is none.

    Example:
        >>> bounds(Interval(0.5, 0.45, 0.551))
        '45.0–55.1'
    """
    if found is None or not math.isfinite(found.low) or found.low == found.high:
        return ""
    sign, dash = ("+", "…") if signed else ("", "–")
    return f"{100 * found.low:{sign}.1f}{dash}{100 * found.high:{sign}.1f}"


def seconds(value: float) -> str:
    """A time.

    Example:
        >>> seconds(0.0314), seconds(12.34)
        ('0.031', '12.3')
    """
    return f"{value:.3f}" if value < 1 else f"{value:.1f}"


def megabytes(value: int) -> str:
    """A number of bytes in MB.

    Example:
        >>> megabytes(5_064_768)
        '5.1'
    """
    return f"{value / 1e6:.1f}"


def number(value: float) -> str:
    """A plain number; a dash where it is not known.

    Example:
        >>> number(12.53), number(float("nan"))
        ('12.5', '–')
    """
    return f"{value:.1f}" if math.isfinite(value) else "–"


def values(parameters: Mapping[str, Any]) -> str:
    """Parameters as they would be written.

    Example:
        >>> values({"lambda": 0.4, "density": 0.1})
        'lambda 0.4, density 0.1'
    """
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in parameters.items()
    )


def chosen(line: Line) -> str:
    """The parameters of a line: those of all seeds, where they differ."""
    found = dict.fromkeys(values(parameters) for parameters in line.parameters.values())
    return " / ".join(found) if any(found) else "–"


def title(line: Line) -> str:
    """A line's name; what is no plain merge of all experts is marked."""
    if line.name[0] == EXPERTS:
        return "experts, each on its own task"
    if line.name[0] == BASE:
        return "base, untouched"
    marks = {"mean fold": " †", "base fold": " †", "per task": " ‡"}
    return line.name[0] + marks.get(line.how, "")


def seeds(board: Board) -> str:
    """The seeds of a board in words."""
    found = [str(bed.seed) for bed in board.beds]
    return f"seed{'s' if len(found) > 1 else ''} {', '.join(found)}"


MARKS = (
    "† a method of two models, folded over the experts in order. "
    "‡ one model for each task, which must be known when it is used: not one merged model."
)
