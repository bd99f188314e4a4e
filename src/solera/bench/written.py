"""What the best entries of a leaderboard write by themselves: right answers, and how long they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from solera.bench.leaderboard import Board, Line, Name, board
from solera.bench.measuring import BASE, EXPERTS
from solera.bench.records import Records
from solera.bench.statistics import Interval
from solera.bench.table import ordered

ANSWERS, LENGTHS = "written", "written-length"
"""Variants under which written answers and their lengths are filed beside a leaderboard."""


@dataclass(frozen=True, slots=True)
class Writing:
    """Of the lines of a leaderboard that were asked to write.

    Attributes:
        answers: share of right answers, of what the experts' own writing reaches; held-in.
        lengths: tokens written for an answer, mean over the held-in tasks.
        seeds: of the testbed.
    """

    answers: dict[Name, Interval]
    lengths: dict[Name, float]
    seeds: tuple[int, ...]

    def plain(self) -> list[dict[str, Any]]:
        """As JSON: one object for each line."""
        return [
            {"entry": name[0], "mode": name[1], "answers": found.plain(), "tokens": round(self.lengths[name], 4)}
            for name, found in self.answers.items()
        ]

    def of(self, *lines: Line | None) -> tuple[Interval, float] | None:
        """Answers and length of the first of some lines with equal parameters that was asked; None where none was."""
        for line in lines:
            same = line is not None and lines[0] is not None and line.parameters == lines[0].parameters
            if line is not None and same and line.name in self.answers:
                return self.answers[line.name], self.lengths.get(line.name, float("nan"))
        return None


def writing(records: Records, of: Board) -> Writing | None:
    """What was filed of a board's testbeds; None where nothing was.

    A line counts only with the parameters that it has on the board now.
    """
    answers, lengths = (board(records, of.testbed, of.size, variant) for variant in (ANSWERS, LENGTHS))
    known = {(bed.seed, bed.digest) for bed in of.beds}
    if answers is None or lengths is None or not {(bed.seed, bed.digest) for bed in answers.beds} <= known:
        return None
    now = [line for line in answers.lines if _is_same(of.line(*line.name), line)]
    return Writing(
        {line.name: line.groups["held-in"] for line in now},
        {line.name: line.held_in for line in lengths.lines},
        tuple(bed.seed for bed in answers.beds),
    )


def _is_same(here: Line | None, written: Line) -> bool:
    return here is not None and all(here.parameters.get(seed) == p for seed, p in written.parameters.items())


def ranked(of: Board) -> Iterator[Line]:
    """The lines that have a place, best first: neither references nor one model for each task."""
    for line, _ in ordered(of):
        if line.name[0] not in (BASE, EXPERTS) and line.how != "per task":
            yield line
