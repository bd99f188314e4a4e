"""Write docs/benchmarks.md and its figures from the rows; every figure on the page comes from there.

python benchmarks/page.py [--results FILE] [--out docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from figures import draw
from methods import TRIALS
from results import Results, Row
from targets import (
    MIB,
    Rows,
    Target,
    compared,
    good,
    merge,
    running_floors,
    share,
    table,
    times_mergekit,
    whole_floors,
)

DISTURBED = 0.2
"""Cores kept busy by others, above which a row is called disturbed."""
HOW = """\
## How it is measured

- `make bench` takes the short form, `make bench-full` the whole matrix; `benchmarks/README.md` names the files. The
  models are synthetic: Llama's shapes (or many small tensors), bf16, experts near a base.
- Every time is of a whole process, from its start to its end, interpreter and imports included; the best of the
  repetitions counts. Floor, merge and mergekit run in turn.
- The floor reads every input once and writes one file of the output's size, with plain `preadv` and `pwrite` of
  512 KiB into reused buffers, on two threads, in an interpreter that is already running.
- "Floors" is wall time over the floor without the start-up: the slope between two sizes, of merges and floors
  in one running process (`benchmarks/running.py`) where both sizes were taken so, else of whole processes. Merges map
  their inputs (docs/adr/0014); the floor copies them.
- Bytes are the merge's own count of what it looked at and wrote. Peak memory is the process's high-water mark;
  anonymous memory is looked at a hundred times a second.
- Digests, journal, reading, writing and fsync are timed by clocks around the worker functions in a run of its own
  (`benchmarks/probe.py`): the seconds of all workers, over workers times the time from the first to the last byte.
  Fsync happens in the commit, after that time, and is reported apart; for files in memory it costs nothing.
- "Others" are the cores that everything else on the machine, the host's steal included, kept busy during the row.
- mergekit is run as a black box in its own environment on the same recipe file, where one is given.
"""
RUNNING_NOTE = """\
Merges, then floors. A virtual machine hands free memory back to its host within seconds, and pages that it gets anew
cost up to three times the processor time: a floor of one second writes into what was freed a moment ago, a merge of
three cannot. So `ballast.py` holds what is free and lets go of it as either writes. The slope is the difference between
two sizes, merges over floors.
"""
CLASS_NOTE = """\
A class is met when all its methods are; a line whose rows were disturbed by other processes is neither met nor missed.
Targets for mergekit, first byte and digests are the stricter ones that were
set after probing.

TIES over the whole model looks at every input twice, to count and to write, and maps its pages anew the second time:
they stay out of resident memory. Digests take what BLAKE3 takes: their share grows as the rest gets quicker. DELLA's
time is that of its loops, which rank every row and draw for every entry (see where the workers' time goes).
"""


def cell(value: Any, form: str = "") -> str:
    """A cell of a table; nothing for nothing."""
    return "" if value is None else format(value, form)


def grid(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def section(title: str, head: Sequence[str], lines: Iterable[Sequence[str]], note: str = "") -> str:
    """A titled table; nothing without rows."""
    listed = list(lines)
    return f"## {title}\n\n{note + chr(10) if note else ''}{grid(head, listed)}" if listed else ""


def intro(rows: Rows) -> str:
    """Machine, dates, and how calm it was."""
    if not rows:
        return "No rows yet: `make bench`.\n"
    dates = sorted(row["date"][:16] for row in rows.values())
    machines = ", ".join(dict.fromkeys(row["machine"] for row in rows.values()))
    codes = ", ".join(dict.fromkeys(f"`{row['code']}`" for row in rows.values()))
    busy = sum(row["others"] > DISTURBED for row in rows.values())
    highest = max(row["others"] for row in rows.values())
    loads = [row["load"] for row in rows.values()]
    said = (
        f"Other processes kept more than {DISTURBED:g} cores busy during {busy} of the {len(rows)} rows "
        f"({highest:.2f} cores at the most; load averages before a row {min(loads):.1f} to {max(loads):.1f})."
    )
    warn = (
        " **Times of those rows are upper bounds, and ratios between rows of unlike load mean little.**" if busy else ""
    )
    return f"{machines}. Rows from {dates[0]} to {dates[-1]} UTC, code {codes}.\n\n{said}{warn}\n"


def targets(rows: Rows) -> str:
    """The table of targets; only rows that nobody disturbed can meet or miss one."""
    calm = {key: row for key, row in rows.items() if row["others"] <= DISTURBED}
    lines = [
        (seen.what, seen.owes, judged.measured, judged.verdict)
        if judged.met is not None
        else (seen.what, seen.owes, seen.measured, _unjudged(seen))
        for seen, judged in zip(table(rows), table(calm), strict=True)
    ]
    return section("Targets", ("what", "owes", "measured", ""), lines, CLASS_NOTE)


def _unjudged(seen: Target) -> str:
    return "disturbed" if seen.met is not None else seen.verdict


def all_merges(rows: Rows) -> str:
    """Every merge, in the order of method, size, K, place, workers."""
    head = (
        "method", "size", "K", "place", "workers", "wall s", "cpu s", "floor s", "wall / floor", "passes", "read GB",
        "written GB", "peak MiB", "anon MiB", "others", "load", "date",
    )  # fmt: skip
    return section("All merges", head, (_merge_line(row) for row in _ordered(rows, "merge")))


def _ordered(rows: Rows, kind: str) -> list[Row]:
    sizes, names = ["tiny", "0.1", "moe", "0.5", "1.1", "3", "7", "moe-90k"], list(TRIALS)
    chosen = [row for row in rows.values() if row["kind"] == kind]
    return sorted(
        chosen,
        key=lambda r: (names.index(r["method"]), sizes.index(r["size"]), r["place"], r["models"], r["threads"]),
    )


def _merge_line(row: Row) -> tuple[str, ...]:
    ours, floor = row["ours"], row["floor"]["seconds"]
    return (
        row["method"],
        row["size"],
        str(TRIALS[row["method"]].operands(row["models"])),
        row["place"],
        str(row["threads"]),
        f"{ours['wall']:.2f}",
        f"{ours['cpu']:.2f}",
        f"{floor:.3f}",
        "" if row["size"] == "tiny" else f"{ours['wall'] / floor:.1f}",
        str(ours["report"]["passes"]),
        f"{ours['report']['bytes_read'] / 1e9:.3f}",
        f"{ours['report']['bytes_written'] / 1e9:.3f}",
        f"{row['peak_rss'] / MIB:.0f}",
        f"{row['peak_anon'] / MIB:.0f}",
        f"{row['others']:.2f}",
        f"{row['load']:.1f}",
        row["date"][:16],
    )


def parts(rows: Rows) -> str:
    """Where the workers' time goes."""
    head = ("method", "size", "reading", "writing", "digests", "journal", "kernels and the rest", "fsync s")
    lines = [
        (row["method"], row["size"], *_shares(row), f"{row['clocks']['spent'].get('fsync', 0.0):.3f}")
        for row in _ordered(rows, "merge")
        if (row["models"], row["place"], row["threads"]) == (3, "memory", 2) and row["size"] != "tiny"
    ]
    return section("Where the workers' time goes (K = 3, in memory)", head, lines)


def _shares(row: Row) -> list[str]:
    found = [share(row, name) for name in ("read", "write", "digest", "journal")]
    return [f"{value:.1%}" for value in (*found, 1 - sum(found))]


def against(rows: Rows) -> str:
    """The comparison with mergekit."""
    head = (
        "method",
        "size",
        "solera s",
        "mergekit s",
        "times",
        "solera MiB",
        "mergekit MiB",
        "solera cpu s",
        "mergekit cpu s",
    )
    found = [(name, size, compared(rows, name, size)) for size in ("0.1", "1.1") for name in TRIALS]
    lines = [
        (
            name,
            size,
            f"{row['ours']['wall']:.2f}",
            f"{row['theirs']['wall']:.1f}",
            f"{times_mergekit(row):.1f}",
            f"{row['peak_rss'] / MIB:.0f}",
            f"{row['theirs']['peak_rss'] / MIB:.0f}",
            f"{row['ours']['cpu']:.1f}",
            f"{row['theirs']['cpu']:.1f}",
        )
        for name, size, row in found
        if row
    ]
    return section("Against mergekit 0.1.5 (K = 3, in memory, whole processes)", head, lines)


def series(title: str, keys: Sequence[Any], pick: Callable[[str, Any], Row | None]) -> str:
    """Wall seconds and floors for each method over one variable."""
    lines = []
    for name in TRIALS:
        found = [pick(name, key) for key in keys]
        if sum(row is not None for row in found) > 1:
            lines.append((name, *(_pair(row) for row in found)))
    return section(title, ("method", *map(str, keys)), lines, "Seconds of the whole process; the floor in brackets.\n")


def _pair(row: Row | None) -> str:
    return "" if row is None else f"{row['ours']['wall']:.2f} ({row['floor']['seconds']:.2f})"


def floors(rows: Rows) -> str:
    """Floors and merges in one process, and the slopes of both ways."""
    head = ("method", "0.1 B s", "floor", "1.1 B s", "cpu s", "floor", "floors", "by whole processes")
    lines = []
    for name in TRIALS:
        small, large = (merge(rows, name, size, kind="running") for size in ("0.1", "1.1"))
        if small and large and (slope := running_floors(rows, name)):
            whole = whole_floors(rows, name)
            lines.append(
                (name, *_times(small), *_times(large, "cpu"), f"{slope[0]:.1f}", f"{whole[0]:.1f}" if whole else "")
            )
    return section("In a running process (K = 3, in memory)", head, lines, RUNNING_NOTE)


def _times(row: Row, *more: str) -> tuple[str, ...]:
    return (*(f"{row['ours'][name]:.2f}" for name in ("wall", *more)), f"{row['floor']['seconds']:.2f}")


def workers(rows: Rows) -> str:
    """One worker against two."""
    lines = []
    for name in TRIALS:
        for size in ("0.1", "1.1"):
            one, two = merge(rows, name, size, threads=1), merge(rows, name, size)
            if one and two:
                first, second = one["ours"]["wall"], two["ours"]["wall"]
                lines.append((name, size, f"{first:.2f}", f"{second:.2f}", f"{first / second:.2f}"))
    return section("One worker against two (K = 3, in memory)", ("method", "size", "one s", "two s", "times"), lines)


def disk(rows: Rows) -> str:
    """Files on the disk."""
    head = ("method", "size", "wall s", "of it fsync", "floor s", "its fsync", "from disk GB", "to disk GB")
    lines = [
        (
            row["method"],
            row["size"],
            f"{row['ours']['wall']:.2f}",
            f"{row['clocks']['spent'].get('fsync', 0.0):.2f}",
            f"{row['floor']['seconds']:.2f}",
            f"{row['floor']['fsync']:.2f}",
            f"{row['ours']['disk_read'] / 1e9:.2f}",
            f"{row['ours']['disk_written'] / 1e9:.2f}",
        )
        for row in _ordered(rows, "merge")
        if row["place"] == "disk"
    ]
    return section("On the disk (K = 3, inputs in the page cache where they fit)", head, lines)


def card(rows: Rows) -> str:
    """Steps on a graphics card beside two workers."""
    lines = []
    for row in _ordered(rows, "merge"):
        if row["place"] == "card" and (cores := merge(rows, row["method"], row["size"])):
            here, there = cores["ours"]["wall"], row["ours"]["wall"]
            lines.append((row["method"], row["size"], f"{here:.2f}", f"{there:.2f}", f"{here / there:.2f}"))
    return section("On a graphics card (K = 3, in memory)", ("method", "size", "cores s", "card s", "times"), lines)


def predicted(rows: Rows) -> str:
    """The plan's peak beside the measured one."""
    head = ("method", "size", "K", "plan MiB", "measured above idle MiB", "measured / plan")
    lines = []
    for row in _ordered(rows, "merge"):
        idle = merge(rows, row["method"], "tiny")
        if idle and row["size"] != "tiny" and (row["place"], row["threads"]) == ("memory", 2):
            plan, above = row["ours"]["report"]["memory_bytes"], row["peak_rss"] - idle["peak_rss"]
            size = (row["method"], row["size"], str(TRIALS[row["method"]].operands(row["models"])))
            lines.append((*size, f"{plan / MIB:.0f}", f"{above / MIB:.0f}", f"{above / plan:.2f}"))
    return section("Memory: the plan's word and the process's peak", head, lines, "Idle is a merge of tiny models.\n")


def failures(rows: Rows) -> str:
    """Rows that ended with an error."""
    lines = [
        (str(key[0]), key[1], key[2], str(key[3]), row["error"][:200]) for key, row in rows.items() if "error" in row
    ]
    return section("Rows that failed", ("kind", "method", "size", "K", "error"), lines)


def page(every: Rows, pictures: Iterable[tuple[Path, str]]) -> str:
    """The whole page."""
    rows = good(every)
    shown = "\n".join(f"![{caption}](figures/{path.name})\n\n{caption}\n" for path, caption in pictures)
    parts_ = [
        "# Benchmarks\n\nWritten by `benchmarks/page.py` (`make bench`); no figure is typed by hand.\n\n" + intro(rows),
        targets(rows),
        f"## Figures\n\n{shown}" if shown else "",
        against(rows),
        series("Growth with size (K = 3, in memory)", ("tiny", "0.1", "0.5", "1.1"), lambda n, s: merge(rows, n, s)),
        series("Growth with K (0.1 B, in memory)", (2, 3, 8, 20), lambda n, k: merge(rows, n, "0.1", k)),
        floors(rows),
        workers(rows),
        disk(rows),
        card(rows),
        parts(rows),
        predicted(rows),
        all_merges(rows),
        failures(every),
        HOW,
    ]
    return "\n".join(part for part in parts_ if part)


def main() -> None:
    """Write page and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Results.path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "benchmarks.md")
    options = parser.parse_args()
    rows = Results(options.results).latest()
    pictures = draw(good(rows), options.out.parent / "figures")
    options.out.write_text(page(rows, pictures))
    print(options.out, *(path for path, _ in pictures), sep="\n")


if __name__ == "__main__":
    main()
