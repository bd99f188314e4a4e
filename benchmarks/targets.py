"""The table of targets, filled in from the rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from methods import CHEAP, FEW, HEAD, MANY, TRIALS
from results import ROWS, Row

MIB = 1 << 20
LARGE = ("1.1", "0.5")
"""Sizes from which, with 0.1 B, the slope is taken: the first that was measured."""
Rows = Mapping[tuple[Any, ...], Row]


@dataclass(frozen=True)
class Target:
    """A line of the table: what, what it owes (in words), what was measured, and whether that is enough."""

    what: str
    owes: str
    measured: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.met is None:
            return "in part" if self.measured else "not measured"
        return "met" if self.met else "**not met**"


def good(rows: Rows) -> dict[tuple[Any, ...], Row]:
    """Rows without an error, of methods that are still measured."""
    return {key: row for key, row in rows.items() if "error" not in row and row["method"] in ("", *TRIALS)}


def merge(
    rows: Rows, method: str, size: str, models: int = 3, place: str = "memory", threads: int = 2, kind: str = "merge"
) -> Row | None:
    """The row of one merge."""
    return rows.get((kind, method, size, models, place, threads))


def compared(rows: Rows, method: str, size: str) -> Row | None:
    """The row in which mergekit ran too."""
    found = (merge(rows, method, size, kind=kind) for kind in ("merge", "compare"))
    return next((row for row in found if row and row["theirs"]), None)


def times_floor(rows: Rows, method: str) -> tuple[float, str] | None:
    """Wall time in floors without the start-up, and from what: in a running process, else of whole ones."""
    return running_floors(rows, method) or whole_floors(rows, method)


def running_floors(rows: Rows, method: str) -> tuple[float, str] | None:
    """The slope between two sizes, of merges and floors in a running process."""
    small, large = (merge(rows, method, size, kind="running") for size in ("0.1", "1.1"))
    if small is None or large is None:
        return None
    wall = large["ours"]["wall"] - small["ours"]["wall"]
    return wall / (large["floor"]["seconds"] - small["floor"]["seconds"]), "0.1 to 1.1 B, running"


def whole_floors(rows: Rows, method: str) -> tuple[float, str] | None:
    """The slope between two sizes, of whole processes, or the time at one size less a tiny merge."""
    small = merge(rows, method, "0.1")
    if small is None:
        return None
    for size in LARGE:
        if large := merge(rows, method, size):
            wall = large["ours"]["wall"] - small["ours"]["wall"]
            return wall / (large["floor"]["seconds"] - small["floor"]["seconds"]), f"0.1 to {size} B"
    if tiny := merge(rows, method, "tiny"):
        return (small["ours"]["wall"] - tiny["ours"]["wall"]) / small["floor"]["seconds"], "0.1 B less a tiny merge"
    return None


def times_mergekit(row: Row) -> float:
    """How many times quicker, whole process against whole process."""
    return float(row["theirs"]["wall"]) / float(row["ours"]["wall"])


def share(row: Row, *names: str) -> float:
    """Share of the workers' time from first to last byte that the named parts take."""
    clocks, marks = row["clocks"]["spent"], row["clocks"]["marks"]
    whole = row["threads"] * (marks["work ended"] - marks["work began"])
    return sum(clocks.get(name, 0.0) for name in names) / whole


def of_class(rows: Rows, what: str, limit: float) -> Target:
    """A line for all methods that owe the same."""
    names = [name for name, trial in TRIALS.items() if trial.target == limit]
    found = [(name, value) for name in names if (value := times_floor(rows, name))]
    words = ", ".join(f"{name} {value:.1f}" for name, (value, _) in found)
    how = "; ".join(dict.fromkeys(way for _, (_, way) in found))
    met = all(value <= limit for _, (value, _) in found) if len(found) == len(names) else None
    met = False if any(value > limit for _, (value, _) in found) else met
    return Target(what, f"≤ {limit:g} floors", f"{words} ({how})" if found else "", met)


def kernel(rows: Rows) -> Target:
    """Bandwidth of the kernels alone."""
    found = {
        name: row["figures"]["write"]["gb_per_s"]
        for name in ("linear", "task_arithmetic")
        if (row := rows.get(("kernel", name, "0.03", 3, "memory", 2)))
    }
    words = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
    return Target(
        "their kernels alone, two workers", "≥ 8 GB/s in + out", words, _all(found.values(), lambda v: v >= 8)
    )


def _all(values: Iterable[float], enough: Callable[[float], bool]) -> bool | None:
    listed = list(values)
    return all(map(enough, listed)) if listed else None


def against(rows: Rows, size: str, methods: tuple[str, ...], least: float) -> Target:
    """A line of the comparison with mergekit."""
    found = {name: times_mergekit(row) for name in methods if (row := compared(rows, name, size))}
    words = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
    met = _all(found.values(), lambda value: value >= least)
    met = None if met and len(found) < len(methods) else met
    what = f"mergekit 0.1.5, whole process, {size} B x 3: {', '.join(methods)}"
    return Target(what, f"≥ {least:g} times quicker", words, met)


def memory(rows: Rows, what: str, limit: int, models: Callable[[int], bool]) -> Target:
    """The highest peak among merges."""
    chosen = [r for r in rows.values() if r["kind"] == "merge" and models(r["models"]) and r["size"] != "tiny"]
    top = max(chosen, key=lambda r: r["peak_rss"], default=None)
    if top is None:
        return Target(what, f"≤ {limit} MiB")
    sizes = ", ".join(sorted({f"{r['size']} B" for r in chosen}))
    words = f"{top['peak_rss'] / MIB:.0f} MiB at the most ({top['method']}, {top['size']} B x {top['models']}; {sizes})"
    return Target(what, f"≤ {limit} MiB resident", words, top["peak_rss"] <= limit * MIB)


def seconds(what: str, limit: float, value: float | None) -> Target:
    """A line for one time."""
    return Target(what, f"≤ {limit:g} s", *(("", None) if value is None else (f"{value:.2f} s", value <= limit)))


def first_read(rows: Rows) -> float | None:
    """Seconds from the start of the process to the first tensor byte, at the quickest over the tiny merges."""
    marks = [r["clocks"]["marks"] for r in rows.values() if r["kind"] == "merge" and r["size"] == "tiny"]
    return min((m["tensor began"] for m in marks if "tensor began" in m), default=None)


def wall(rows: Rows, kind: str, method: str, size: str, models: int) -> float | None:
    """Wall time of a plain row."""
    row = rows.get((kind, method, size, models, "memory", 2))
    return None if row is None else float(row["ours"]["wall"])


def integrity(rows: Rows, method: str, limit: float, *names: str) -> Target:
    """The share of digests, or of digests and journal, at the largest size in memory that was measured."""
    row = next((r for size in (*LARGE, "0.1") if (r := merge(rows, method, size))), None)
    what = f"{' and '.join(names)} in {method}"
    if row is None:
        return Target(what, f"≤ {limit:.0%} of the wall")
    spent, value = row["clocks"]["spent"], share(row, *names)
    rate = f"{row['ours']['report']['bytes_written'] / 1e9 / spent['digest']:.1f} GB/s a worker"
    words = f"{value:.1%} ({row['size']} B; {rate}; fsync {spent.get('fsync', 0.0):.3f} s)"
    return Target(what, f"≤ {limit:.0%} of the wall", words, value <= limit)


def seven(rows: Rows) -> Target:
    """The run of 7 B."""
    what, owes = "7 B, K = 3, TIES, on disk", "completes within 2 GiB; time = disk"
    row = merge(rows, "ties", "7", place="disk")
    if row is None:
        return Target(what, owes)
    words = f"{row['ours']['wall']:.0f} s, floor {row['floor']['seconds'] + row['floor']['fsync']:.0f} s with fsync"
    return Target(what, owes, f"{words}, {row['peak_rss'] / MIB:.0f} MiB", row["peak_rss"] <= 2048 * MIB)


def kills(path: Path = ROWS.parent / "kill.json") -> Target:
    """The last campaign of `make kill`."""
    what, owes = "signal 9 at random moments (`make kill`)", "≥ 200: 0 damaged targets, all resumes identical"
    if not path.exists():
        return Target(what, owes)
    found = json.loads(path.read_text())
    words = f"{found['kills']} kills, {found['damaged']} damaged, {found['different']} resumes that differ"
    words += f"; a resume read at most {found['read_over_unfinished']:.3f} of what was unfinished"
    bad = found["damaged"] + found["different"] + found["spendthrift"]
    return Target(what, owes, words, False if bad else found["kills"] >= 200 or None)


def table(rows: Rows) -> list[Target]:
    """All lines."""
    return [
        of_class(rows, "linear, task arithmetic, K = 3, after start-up", HEAD),
        kernel(rows),
        of_class(rows, "TIES, DARE (1/p), breadcrumbs, RAM, nearswap", CHEAP),
        of_class(rows, "SCE, model stock, slerp family, DARE (L1)", FEW),
        of_class(rows, "DELLA, arcee fusion", MANY),
        against(rows, "1.1", ("linear",), 9),
        against(rows, "1.1", ("ties", "della", "breadcrumbs", "sce"), 40),
        against(rows, "1.1", ("dare_ties (L1)",), 18),
        against(rows, "0.1", ("linear",), 5),
        against(rows, "0.1", ("ties",), 15),
        memory(rows, "peak memory, K ≤ 8", 600, lambda k: k <= 8),
        memory(rows, "peak memory, K = 20", 1024, lambda k: k == 20),
        seconds("start-up to the first byte of a tensor read", 0.7, first_read(rows)),
        seconds("`solera --help`", 0.3, wall(rows, "help", "", "tiny", 0)),
        seconds("planning 19,000 tensors, K = 8", 2, wall(rows, "plan", "ties", "moe", 8)),
        seconds("planning 90,000 tensors, K = 20", 10, wall(rows, "plan", "ties", "moe-90k", 20)),
        seven(rows),
        integrity(rows, "linear", 0.10, "digest"),
        integrity(rows, "ties", 0.05, "digest"),
        integrity(rows, "linear", 0.12, "digest", "journal"),
        integrity(rows, "ties", 0.12, "digest", "journal"),
        kills(),
    ]
