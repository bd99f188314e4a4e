"""From records to a leaderboard: shares of the experts' scores, with paired intervals over seeds and items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from solera.bench.measuring import BASE, EXPERTS
from solera.bench.records import BedRecord, Mode, Records, RowRecord, TaskFacts
from solera.bench.statistics import REPLICATES, Array, Interval, generator, interval, item_means, mean_known, over_seeds

GROUPS = ("held-in", "unseen", "corrupted")
AVERAGE = ("linear", "default")
"""The plain average: what every other row is compared with."""
Name = tuple[str, Mode]


@dataclass(frozen=True, slots=True)
class Line:
    """One entry in one mode, over all seeds that it was measured on.

    Attributes:
        groups: held-in and corrupted as shares of the experts' scores, unseen as plain scores.
        gain: held-in less that of the plain average, paired. tasks: name -> mean, as in its group.
        parameters: by seed. models: digest of the merge, by seed. trials: evaluations spent on tuning.
        seconds: median over seeds.
    """

    name: Name
    method: str
    how: str
    groups: Mapping[str, Interval]
    gain: Interval
    tasks: Mapping[str, float]
    seeds: tuple[int, ...]
    parameters: Mapping[int, Mapping[str, Any]]
    models: Mapping[int, str]
    trials: int
    seconds: float
    bytes_read: int
    memory: int

    @property
    def held_in(self) -> float:
        """The headline."""
        return self.groups["held-in"].value


@dataclass(frozen=True, slots=True)
class Board:
    """A leaderboard: all that tables, pages and claims are made from.

    Attributes:
        lines: best held-in mean first, references and both modes among them.
        replicates: (entry, mode) -> group -> bootstrap replicates of its mean, paired between entries.
        failed: (entry, mode) -> why a seed has no row.
    """

    testbed: str
    size: str
    variant: str
    beds: tuple[BedRecord, ...]
    lines: tuple[Line, ...]
    replicates: Mapping[Name, Mapping[str, Array]] = field(repr=False)
    failed: Mapping[Name, str] = field(default_factory=dict)

    def line(self, entry: str, mode: Mode) -> Line | None:
        """The line of an entry in a mode."""
        return next((line for line in self.lines if line.name == (entry, mode)), None)

    def equals(self) -> tuple[tuple[Name, ...], ...]:
        """Lines of different entries that made the same model, bit for bit, on every seed."""
        groups: dict[tuple[tuple[int, str], ...], list[Name]] = {}
        for line in self.lines:
            if line.models and line.how != "per task":
                groups.setdefault(tuple(sorted(line.models.items())), []).append(line.name)
        return tuple(tuple(names) for names in groups.values() if len({entry for entry, _ in names}) > 1)

    def difference(self, a: Name, b: Name, group: str = "held-in") -> Interval | None:
        """Mean of `a` less that of `b`, with its paired interval; None where one was not measured."""
        first, second = self.line(*a), self.line(*b)
        if first is None or second is None or not {group} <= first.groups.keys() & second.groups.keys():
            return None
        shift = self.replicates[a][group] - self.replicates[b][group]
        return interval(first.groups[group].value - second.groups[group].value, shift)


def boards(records: Records) -> tuple[Board, ...]:
    """Every leaderboard that records hold: one for each testbed, size and variant."""
    kinds = dict.fromkeys((bed.testbed, bed.size, bed.variant) for bed in records.beds.values())
    made = (board(records, *kind) for kind in kinds)
    return tuple(found for found in made if found is not None)


def board(records: Records, testbed: str, size: str, variant: str = "experts") -> Board | None:
    """The leaderboard of one testbed; None where nothing was measured on it.

    Of several testbeds of one seed the one recorded last counts.
    """
    kind = (testbed, size, variant)
    beds = {bed.seed: bed for bed in records.beds.values() if (bed.testbed, bed.size, bed.variant) == kind}
    rows = [row for row in records.rows.values() if row.seed in beds and row.bed == beds[row.seed].key]
    latest = {(row.entry, row.mode, row.seed): row for row in rows}  # a newer version of a method replaces the older
    good = {key: row for key, row in latest.items() if not row.failed}
    if not any(entry == EXPERTS for entry, _, _ in good):
        return None
    ordered = tuple(beds[seed] for seed in sorted(beds) if (EXPERTS, "default", seed) in good)
    names = list(dict.fromkeys((entry, mode) for entry, mode, _ in good))
    table = _Table(ordered, names, good)
    failed = {(entry, mode): row.failed for (entry, mode, _), row in latest.items() if row.failed}
    return Board(testbed, size, variant, ordered, tuple(table.lines()), table.replicates(), failed)


class _Table:
    """Rows × seeds: points and replicates, computed once."""

    def __init__(
        self, beds: Sequence[BedRecord], names: Sequence[Name], rows: Mapping[tuple[str, Mode, int], RowRecord]
    ) -> None:
        self.beds, self.names, self.rows = beds, names, rows
        random = generator()
        per_seed = [self._seed(bed, random) for bed in beds]
        self.points = {g: np.stack([points[g] for points, _ in per_seed], axis=1) for g in GROUPS}
        draws = np.random.default_rng(random.integers(2**63))
        state = draws.bit_generator.state
        self.drawn: dict[str, Array] = {}
        for group in GROUPS:
            draws.bit_generator.state = state  # the same seeds for every group
            self.drawn[group] = over_seeds(np.stack([drawn[group] for _, drawn in per_seed], axis=1), draws)

    def row(self, name: Name, bed: BedRecord) -> RowRecord | None:
        return self.rows.get((*name, bed.seed))

    def _seed(self, bed: BedRecord, random: np.random.Generator) -> tuple[dict[str, Array], dict[str, Array]]:
        """Group -> means (rows,), and replicates (rows, replicates), on one testbed."""
        points: dict[str, list[Array]] = {group: [] for group in GROUPS}
        drawn: dict[str, list[Array]] = {group: [] for group in GROUPS}
        state = random.bit_generator.state
        for place, task in enumerate(bed.tasks):
            random.bit_generator.state = state  # tasks may be views of the same items: these are drawn together
            values = self._values(bed, place)
            again = self._drawn(bed, place, task, random)
            points[task.group].append(self._share(values, task))
            drawn[task.group].append(self._share(again, task))
        return {g: self._mean(v) for g, v in points.items()}, {g: self._mean(v, REPLICATES) for g, v in drawn.items()}

    def _mean(self, tasks: list[Array], *more: int) -> Array:
        if not tasks:
            return np.full((len(self.names), *more), np.nan)
        return mean_known(np.stack(tasks), axis=0)

    def _values(self, bed: BedRecord, place: int) -> Array:
        return np.array([_value(self.row(name, bed), place) for name in self.names])

    def _drawn(self, bed: BedRecord, place: int, task: TaskFacts, random: np.random.Generator) -> Array:
        """Values with items drawn again; without items: as they stand among seeds, unknown on one seed alone."""
        items = np.full((len(self.names), task.items), np.nan)
        for k, name in enumerate(self.names):
            each = _each(self.row(name, bed), place)
            if len(each) == task.items:
                items[k] = each
        means = item_means(items, REPLICATES, random)
        plain = self._values(bed, place)[:, None] if len(self.beds) > 1 else np.nan
        return np.where(np.isfinite(items).all(axis=1)[:, None], means, plain)

    def _share(self, values: Array, task: TaskFacts) -> Array:
        """As shares of the expert's, where the task has one; NaN where the expert scores nothing."""
        if task.expert is None:
            return values
        expert = values[self.names.index((EXPERTS, "default"))]
        over, under = (values, expert) if task.higher else (expert, values)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(under == 0, np.nan, over / np.where(under == 0, 1.0, under))

    def replicates(self) -> dict[Name, dict[str, Array]]:
        return {name: {g: self.drawn[g][k] for g in GROUPS} for k, name in enumerate(self.names)}

    def lines(self) -> Iterable[Line]:
        made = [self._line(k, name) for k, name in enumerate(self.names)]
        return sorted(made, key=lambda line: -np.nan_to_num(line.held_in, nan=-1.0))

    def _line(self, k: int, name: Name) -> Line:
        rows = {bed.seed: row for bed in self.beds if (row := self.row(name, bed)) is not None}
        means = {group: float(mean_known(self.points[group][k], axis=0)) for group in GROUPS}
        groups = {g: interval(value, self.drawn[g][k]) for g, value in means.items() if np.isfinite(value)}
        groups.setdefault("held-in", Interval(float("nan"), float("nan"), float("nan")))
        last = next(iter(rows.values()))
        return Line(
            name=name,
            method=last.method,
            how=last.how,
            groups=groups,
            gain=self._gain(k, means["held-in"]),
            tasks=self._tasks(name),
            seeds=tuple(rows),
            parameters={seed: row.parameters for seed, row in rows.items()},
            models={seed: row.model for seed, row in rows.items() if row.model},
            trials=max(len(row.trials) for row in rows.values()),
            seconds=float(np.median([row.seconds for row in rows.values()])),
            bytes_read=last.bytes_read,
            memory=max(row.memory for row in rows.values()),
        )

    def _gain(self, k: int, mean: float) -> Interval:
        if AVERAGE not in self.names:
            return Interval(float("nan"), float("nan"), float("nan"))
        other = self.names.index(AVERAGE)
        average = float(mean_known(self.points["held-in"][other], axis=0))
        return interval(mean - average, self.drawn["held-in"][k] - self.drawn["held-in"][other])

    def _tasks(self, name: Name) -> dict[str, float]:
        k = self.names.index(name)
        found: dict[str, list[float]] = {}
        for bed in self.beds:
            for place, task in enumerate(bed.tasks):
                share = self._share(self._values(bed, place), task)[k]
                found.setdefault(task.name, []).append(float(share))
        return {task: float(mean_known(np.array(values), axis=0)) for task, values in found.items()}


def _value(row: RowRecord | None, place: int) -> float:
    found = row.scores[place] if row is not None and place < len(row.scores) else None
    return found.value if found is not None else float("nan")


def _each(row: RowRecord | None, place: int) -> tuple[float, ...]:
    found = row.scores[place] if row is not None and place < len(row.scores) else None
    return found.each if found is not None else ()


def as_json(found: Board) -> dict[str, Any]:
    """A leaderboard as plain data."""
    return {
        "testbed": found.testbed,
        "size": found.size,
        "variant": found.variant,
        "seeds": [bed.seed for bed in found.beds],
        "digests": [bed.digest for bed in found.beds],
        "tasks": [
            {"name": t.name, "metric": t.metric, "group": t.group, "items": t.items} for t in found.beds[0].tasks
        ],
        "lines": [_line_json(line) for line in found.lines],
        "failed": [{"entry": entry, "mode": mode, "why": why} for (entry, mode), why in found.failed.items()],
    }


def _line_json(line: Line) -> dict[str, Any]:
    return {
        "entry": line.name[0],
        "mode": line.name[1],
        "method": line.method,
        "how": line.how,
        **{group: found.plain() for group, found in line.groups.items()},
        "gain": line.gain.plain(),
        "tasks": {task: None if not np.isfinite(value) else round(value, 6) for task, value in line.tasks.items()},
        "seeds": list(line.seeds),
        "parameters": {str(seed): dict(values) for seed, values in line.parameters.items()},
        "evaluations": line.trials,
        "seconds": round(line.seconds, 4),
        "bytes_read": line.bytes_read,
        "memory_bytes": line.memory,
    }


def references() -> tuple[Name, ...]:
    """The rows that are no methods."""
    return ((EXPERTS, "default"), (BASE, "default"))
