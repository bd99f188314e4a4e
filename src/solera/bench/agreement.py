"""Our order beside a published one: rank correlation with its interval, and where the two disagree."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any

import numpy as np

from solera.bench.leaderboard import Board, Line, Name
from solera.bench.records import Records
from solera.bench.statistics import REPLICATES, Interval, interval, spearman
from solera.bench.wider import wider

LEAST = 6
"""Fewest common methods for a rank correlation."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A method in both tables: the published name and mean, our line with its mean (a share of the experts').

    `fixed`: the coefficient that the published figure stands at, where it was not chosen. `starts`: where both start to
    learn coefficients from unlabelled test images.
    """

    published: str
    theirs: float
    line: Line
    fixed: float | None = None
    starts: float | None = None

    @property
    def name(self) -> Name:
        """Of our line."""
        return self.line.name

    @property
    def ours(self) -> float:
        """Our mean."""
        return self.line.held_in


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two methods that they put in the order `above`, `below`; ours has `above` less `below` at `gap`, below zero."""

    above: str
    below: str
    theirs: float
    gap: Interval

    @property
    def sure(self) -> bool:
        """Whether our interval excludes their order."""
        return self.gap.high < 0


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two tables agree. `rho` is None for fewer than `LEAST` common methods.

    The interval of `rho` is over our seeds and items; the published order is taken as it is.

    Attributes:
        seeds: of the testbed, those that every common method was measured on.
        weights: bytes of one of our models.
        alone: the same of the leaderboard's own methods on all its seeds, where others have joined them.
    """

    title: str
    source: str
    pairs: tuple[Pair, ...]
    rho: Interval | None
    disagreements: tuple[Disagreement, ...]
    seeds: tuple[int, ...] = ()
    weights: int = 0
    alone: Agreement | None = None


@cache
def published() -> Mapping[str, Any]:
    """The published table, as data.

    Example:
        >>> len(published()["row"]), all(len(row["values"]) == 8 for row in published()["row"])
        (17, True)
    """
    return tomllib.loads(files("solera.bench").joinpath("published.toml").read_text("utf-8"))


def agreement(board: Board, records: Records | None = None) -> Agreement | None:
    """Compare a leaderboard with the published table; None where that table is of another kind of testbed.

    Args:
        board: our side.
        records: its rows and those filed beside it: methods of the published table among them join, see `wider`.
    """
    table = published()
    if board.testbed.partition(":")[0] not in table["testbeds"]:
        return None
    alone = _agreement(board, table)
    if records is None:
        return alone
    found = _agreement(wider(records, board, {row["entry"] for row in table["row"] if "entry" in row}), table)
    return replace(found, alone=alone) if len(found.pairs) > len(alone.pairs) else alone


def _agreement(board: Board, table: Mapping[str, Any]) -> Agreement:
    pairs = [_pair(board, row) for row in table["row"] if "entry" in row]
    known = tuple(sorted((pair for pair in pairs if pair), key=lambda pair: -pair.theirs))
    return Agreement(
        table["name"],
        table["source"],
        known,
        _rho(board, known),
        tuple(_disagreements(board, known)),
        tuple(bed.seed for bed in board.beds),
        max(bed.weights for bed in board.beds),
    )


def _pair(board: Board, row: Mapping[str, Any]) -> Pair | None:
    """Tuned where a method has been tuned: the published figures are of chosen coefficients."""
    for name in ((row["entry"], "tuned"), (row["entry"], "default")):
        line = board.line(*name)  # type: ignore[arg-type]
        if line is not None and np.isfinite(line.held_in):
            return Pair(row["name"], float(row["mean"]), line, row.get("fixed"), row.get("starts"))
    return None


def _rho(board: Board, pairs: tuple[Pair, ...]) -> Interval | None:
    if len(pairs) < LEAST:
        return None
    theirs = [pair.theirs for pair in pairs]
    drawn = np.stack([board.replicates[pair.name]["held-in"] for pair in pairs])
    again = np.array([spearman(drawn[:, b].tolist(), theirs) for b in range(REPLICATES)])
    return interval(spearman([pair.ours for pair in pairs], theirs), again)


def _disagreements(board: Board, pairs: tuple[Pair, ...]) -> list[Disagreement]:
    found = []
    for above, below in combinations(pairs, 2):
        gap = board.difference(above.name, below.name)
        if gap is not None and above.theirs > below.theirs and gap.value < 0:
            found.append(Disagreement(above.published, below.published, above.theirs - below.theirs, gap))
    return sorted(found, key=lambda each: each.gap.value)


def as_json(found: Agreement) -> dict[str, Any]:
    """An agreement as plain data."""
    return {
        "table": found.title,
        "source": found.source,
        "seeds": list(found.seeds),
        "n": len(found.pairs),
        "spearman": None if found.rho is None else found.rho.plain(),
        "rows": [{"name": p.published, "theirs": p.theirs, "entry": p.name[0], "ours": p.ours} for p in found.pairs],
        "disagreements": [
            {"above": d.above, "below": d.below, "theirs": d.theirs, "ours": d.gap.plain(), "sure": d.sure}
            for d in found.disagreements
        ],
        "alone": None if found.alone is None else as_json(found.alone),
    }
