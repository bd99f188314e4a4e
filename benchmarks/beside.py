"""What scripts share that file records beside the leaderboards, each under a variant of its own.

A row that is there is not taken again, so a script that was stopped goes on. Settings are chosen on validation items
by the mean share of the experts' scores, as on the leaderboards, and scored on test items, item by item.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from solera.bench.arena import Arena, Made, TestbedSource
from solera.bench.entries import Entry
from solera.bench.leaderboard import GROUPS, Board, Line, board
from solera.bench.measuring import measure, normalised, reference
from solera.bench.records import Mode, RowRecord, Scored, append, read
from solera.bench.tuning import Trial, best
from solera.bench.words import percent
from solera.evaluate import Score, ScoreCache, default_cache
from solera.evaluate.contract import Task
from solera.version import __version__

FOLDER = Path(__file__).parent / "results" / "leaderboard" / "beside"
DOCS = Path(__file__).parents[1] / "docs"
GRID = 1
"""Version of the settings that scripts try: part of a tuned record's key."""

Values = Mapping[str, Any]
Run = Callable[[Values, tuple[Task, ...]], tuple[Mapping[str, Score], Made]]
"""Parameters and tasks -> what the merge scores, and the merge."""


@dataclass(frozen=True)
class Variant:
    """A variant of a testbed. `adapters`: its experts are the testbed's adapters on the base."""

    testbed: str
    name: str
    adapters: bool = False

    @property
    def path(self) -> Path:
        """The file of its records."""
        return FOLDER / f"{self.testbed}-{self.name}.jsonl"

    def board(self, size: str = "small") -> Board | None:
        """What was measured; None where nothing was."""
        return board(read(self.path), self.testbed, size, self.name)


def opened(variant: Variant, size: str, seed: int, cache: Path | None = None) -> tuple[Arena, Any]:
    """The arena, filed under the variant, and the testbed."""
    from solera import testbeds

    source = TestbedSource(variant.testbed, size, seed, variant.adapters, cache)  # type: ignore[arg-type]
    arena = source.open(ScoreCache(default_cache()))
    arena.record = replace(arena.record, variant=variant.name)
    return arena, testbeds.open_built(variant.testbed, size=size, seed=seed, cache=cache)  # type: ignore[arg-type]


def filed(variant: Variant, arena: Arena) -> dict[tuple[str, Mode], RowRecord]:
    """(entry, mode) -> row of what is there already."""
    rows = read(variant.path).rows.values()
    return {(row.entry, row.mode): row for row in rows if row.bed == arena.record.key}


def references(variant: Variant, arena: Arena, tuned: Iterable[str] = ("task_arithmetic",)) -> None:
    """Base, experts, the average, and methods tuned as on the leaderboards; those that are missing."""
    there = filed(variant, arena)
    ends(variant, arena)
    if ("linear", "default") not in there:
        append(variant.path, measure(arena, Entry("linear", "linear"), ("default",)))
    for name in tuned:
        if (name, "tuned") not in there:
            append(variant.path, measure(arena, Entry(name, name), ("default", "tuned")))


def ends(variant: Variant, arena: Arena) -> None:
    """The testbed itself, base and experts, where they are missing."""
    there = filed(variant, arena)
    if not there:
        append(variant.path, [arena.record])
    for name in ("base", "experts"):
        if (name, "default") not in there:
            append(variant.path, [reference(arena, name)])


def scored(arena: Arena, found: Mapping[str, Score]) -> tuple[Scored | None, ...]:
    """Scores in the order of the testbed's tasks; on damaged inputs without their items, which would fill the file."""
    rows = ((found.get(task.name), task.group) for task in arena.record.tasks)
    return tuple(r and Scored(r.value, r.each if group != "corrupted" else ()) for r, group in rows)


def record(
    arena: Arena, entry: str, mode: Mode, scores: tuple[Scored | None, ...], *, method: str = "", **more: Any
) -> RowRecord:
    """A row on the arena's testbed; `more`: see `RowRecord`."""
    bed = {key: getattr(arena.record, key) for key in ("testbed", "size", "seed", "digest", "variant")}
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    more = {"version": 1, "grid": GRID if mode == "tuned" else 0, **more}
    return RowRecord(
        **bed, entry=entry, mode=mode, method=method, scores=scores, solera=__version__, time=stamp, **more
    )


def share(arena: Arena, found: Mapping[str, Score]) -> float:
    """Mean of scores as shares of the experts', on validation items; plain where a task has no expert."""
    own = arena.expert_values("validation")
    return fmean(normalised(row.value, own.get(name), higher=row.higher) for name, row in found.items())


def of_one(arena: Arena, make: Callable[[Values], Made]) -> Run:
    """What one merge of a setting scores on tasks."""

    def run(values: Values, tasks: tuple[Task, ...]) -> tuple[Mapping[str, Score], Made]:
        made = make(values)
        return arena.scores(made.tensors, tasks), made

    return run


def tuned(
    arena: Arena, entry: str, method: str, settings: Sequence[Values], run: Run, group: str = "held-in"
) -> RowRecord:
    """The row of the setting that is best on the validation items of a group."""
    asked = tuple(task for task in arena.tasks["validation"] if task.group == group)
    trials = tuple(Trial(values, share(arena, run(values, asked)[0])) for values in settings)
    chosen = best(trials).parameters
    found, made = run(chosen, arena.tasks["test"])
    more = {
        "parameters": dict(chosen),
        "trials": tuple((dict(trial.parameters), trial.value) for trial in trials),
        "model": made.digest,
        "seconds": round(made.seconds, 4),
        "bytes_read": made.bytes_read,
        "memory": made.memory,
    }
    return record(arena, entry, "tuned", scored(arena, found), method=method, **more)


def file(variant: Variant, arena: Arena, row: RowRecord) -> None:
    """Append a row, and say so in one line."""
    append(variant.path, [row])
    means = {group: mean_of(arena, row, group) for group in GROUPS}
    known = {group: round(100 * value, 2) for group, value in means.items() if value is not None}
    words = {"seed": row.seed, **known, **row.parameters}
    sys.stdout.write(f"{row.entry}: " + ", ".join(f"{key} {value}" for key, value in words.items()) + "\n")
    sys.stdout.flush()


def mean_of(arena: Arena, row: RowRecord, group: str) -> float | None:
    """Mean of the scores that a row has on a group of tasks."""
    pairs = zip(row.scores, arena.record.tasks, strict=True)
    found = [score.value for score, task in pairs if score and task.group == group]
    return fmean(found) if found else None


def label(line: Line) -> str:
    """A row's name in a table."""
    return f"`{line.name[0]}`" + (", tuned" if line.name[1] == "tuned" else "")


def groups(line: Line, names: Sequence[str] = GROUPS) -> list[str]:
    """Cells of the groups of tasks."""
    return [percent(line.groups[name]) if name in line.groups else "–" for name in names]


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def put(page: Path, text: str, name: str = "measured") -> None:
    """Put text between the marks of a page, where there is such a page and anything to say."""
    if page.exists() and text:
        mark = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        page.write_text(mark.sub(lambda m: m[1] + text + m[2], page.read_text("utf-8")), encoding="utf-8")
