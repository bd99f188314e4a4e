"""A leaderboard with rows that scripts filed on the very same testbeds: like beside like, over the seeds of all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from solera.bench.leaderboard import Board, board
from solera.bench.measuring import BASE, EXPERTS
from solera.bench.records import BedRecord, Mode, Records, RowRecord

Rows = Mapping[tuple[str, Mode], RowRecord]


def wider(records: Records, of: Board, entries: Collection[str]) -> Board:
    """The board of some entries, those of other variants among them.

    A variant is taken where its testbed has the same digest, the same tasks and the same scores of the experts. Only
    seeds count on which every entry that is known at all has a row; an entry of the board's own goes before another's.

    Args:
        records: of the board, and what was filed beside it.
        of: the board.
        entries: which lines are wanted; base and experts come along.
    """
    wanted = {*entries, EXPERTS, BASE}
    found = {bed: _rows(records, bed, wanted) for bed in of.beds}
    every = {name for rows in found.values() for name in rows}
    kept = {bed: rows for bed, rows in found.items() if rows.keys() == every}
    rows = {row.key: row for each in kept.values() for row in each.values()}
    made = board(Records({bed.key: bed for bed in kept}, rows), of.testbed, of.size, of.variant)
    return made if made is not None else of


def _rows(records: Records, bed: BedRecord, wanted: Collection[str]) -> Rows:
    own = _of(records, bed, wanted)
    found = {name: row for other in _alike(records, bed, own) for name, row in other.items() if name[0] in wanted}
    return {**{name: replace(row, variant=bed.variant) for name, row in found.items()}, **own}


def _of(records: Records, bed: BedRecord, wanted: Collection[str]) -> Rows:
    """(entry, mode) -> the latest row of a testbed."""
    rows = (row for row in records.rows.values() if row.bed == bed.key and row.entry in wanted)
    latest = {(row.entry, row.mode): row for row in rows}
    return {name: row for name, row in latest.items() if not row.failed}


def _alike(records: Records, bed: BedRecord, own: Rows) -> Iterator[Rows]:
    """Rows of every other variant of one testbed whose experts score the same in the same tasks."""
    ceiling = own.get((EXPERTS, "default"))
    for other in records.beds.values():
        same = (other.key[:4], other.tasks) == (bed.key[:4], bed.tasks)
        if not same or other.variant == bed.variant or ceiling is None:
            continue
        rows = {(row.entry, row.mode): row for row in records.rows.values() if row.bed == other.key and not row.failed}
        theirs = rows.get((EXPERTS, "default"))
        if theirs is not None and theirs.scores == ceiling.scores:
            yield rows
