"""Caches with a budget: what experts of lm-6 still write, and what writing behind a long context costs.

python benchmarks/kv.py [--size small] [--seeds 0] [--items N] [--cache FOLDER]   quality, one seed after another
python benchmarks/kv.py --speed [--shape 12x768] [--context 4096] [--tokens 128]   tokens/s, own cost, bytes
python benchmarks/kv.py --page                                                    the tables of docs/kv.md alone

Quality appends leaderboard records of the variant `kv` to results/leaderboard/beside, from which the claim ledger is
judged: an entry is a method and a budget (`kvmerger.50`), `experts` is the plain cache. A row that is there is not
taken again, and a run that was stopped goes on. Both write results/kv.json.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from solera.bench.kv import TASKS, Compared, measure_quality
from solera.bench.kv_rows import BUDGETS, FULL, METHODS, QualityRow, SpeedRow, read_method
from solera.bench.kv_speed import Shape, Timed, measure_speed
from solera.bench.kv_table import markdown, quality_cells, speed_cells
from solera.bench.measuring import EXPERTS
from solera.bench.records import BedRecord, RowRecord, Scored, TaskFacts, append, read
from solera.inference.kv import cache_card
from solera.testbeds import open_built
from solera.testbeds.contract import Built
from solera.testbeds.using import tasks
from solera.types import Event
from solera.version import __version__

HERE = Path(__file__).parent
RECORDS = HERE / "results" / "leaderboard" / "beside" / "lm-6-kv.jsonl"
FIGURES = HERE / "results" / "kv.json"
PAGE = HERE.parent / "docs" / "kv.md"
VARIANT = "kv"


def figures() -> dict[str, Any]:
    """The file of all rows."""
    empty = {"form": 1, "quality": [], "speed": []}
    return json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else empty


def note(kind: str, facts: dict[str, Any], rows: Iterable[QualityRow | SpeedRow]) -> None:
    """Add rows to the file; rows of the same facts, method and budget are replaced."""
    found = figures()
    new = [{**facts, **{k: v for k, v in asdict(row).items() if k != "each"}} for row in rows]
    names = {*facts, "task", "method", "budget"} - {"digest", "time"}
    keys = [{name: row.get(name) for name in names} for row in new]
    old = [row for row in found[kind] if {name: row.get(name) for name in names} not in keys]
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(json.dumps({**found, kind: [*old, *new]}, indent=1) + "\n", encoding="utf-8")


def entry(method: str, budget: float) -> str:
    """Name of a leaderboard entry; the plain cache is the experts' own.

    Example:
        >>> entry("kvmerger:size=attention", 0.35)
        'kvmerger.attention.35'
    """
    name, parameters = read_method(method)
    if name == FULL:
        return EXPERTS
    return ".".join((name, *map(str, parameters.values()), f"{100 * budget:.0f}"))


def quality(size: str, seed: int, items: int | None, cache: Path | None) -> None:
    """All that is missing of one seed, a budget at a time."""
    built = open_built("lm-6", size=size, seed=seed, cache=cache)  # type: ignore[arg-type]
    bed = bed_of(built, size, seed, items)
    known = {row.entry for row in read(RECORDS).rows.values() if row.bed == bed.key}
    if not known:
        append(RECORDS, [bed])
    for budget in BUDGETS:
        methods = METHODS if budget < 1 else (FULL,)
        missing = [method for method in methods if entry(method, budget) not in known]
        if not missing:
            continue
        one = Compared(TASKS, tuple(missing) if budget < 1 else (), (budget,), items)
        rows = measure_quality(built, one)
        for method in missing:
            mine = [row for row in rows if row.method == method]
            append(RECORDS, [record(bed, method, budget, mine)])
            words = ", ".join(f"{row.task} {100 * row.exact:.1f}" for row in mine)
            sys.stdout.write(f"seed {seed} {entry(method, budget)}: {words}\n")
        note("quality", {"size": size, "seed": seed, "digest": built.digest}, rows)
        sys.stdout.flush()


def bed_of(built: Built, size: str, seed: int, items: int | None) -> BedRecord:
    """The testbed as the leaderboard knows it; other numbers of items are another."""
    counts = {task.name: min(items or task.items, task.items) for task in tasks(built)}
    found = tuple(TaskFacts(task, "exact", counts[task], expert=task) for task in TASKS)
    digest = built.digest if items is None else f"{built.digest}/{items}"
    return BedRecord("lm-6", size, seed, digest, VARIANT, found, TASKS)


def record(bed: BedRecord, method: str, budget: float, rows: list[QualityRow]) -> RowRecord:
    """A row of the leaderboard; the plain cache is the experts' row."""
    name, parameters = ("", {}) if method == FULL else read_method(method)
    return RowRecord(
        **{key: getattr(bed, key) for key in ("testbed", "size", "seed", "digest", "variant")},
        entry=entry(method, budget),
        mode="default",
        method=name,
        version=cache_card(name).version if name else 0,
        parameters={**parameters, "budget": budget} if name else {},
        scores=tuple(Scored(row.exact, row.each) for row in rows),
        seconds=round(sum(row.seconds for row in rows), 2),
        memory=max(row.nbytes for row in rows),
        solera=__version__,
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def speed(shape: str, context: int, tokens: int) -> None:
    """All methods and budgets behind one context."""

    def said(event: Event) -> None:
        sys.stdout.write(f"{event.stage} {event.message or f'{event.done} of {event.total}'}\n")
        sys.stdout.flush()

    rows = measure_speed(Shape.read(shape), Timed(context, tokens), said)
    note("speed", {"shape": shape, "context": context, "tokens": tokens, "threads": 1}, rows)


def tables(size: str) -> str:
    """What was measured, as Markdown; quality is the mean over seeds."""
    found = figures()
    of_size = [row for row in found["quality"] if row["size"] == size]
    seeds = sorted({row["seed"] for row in of_size})
    parts = []
    if of_size:
        items = sorted({row["items"] for row in of_size})
        words = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}, {items[-1]} items of each task"
        parts.append(f"Exact match, %, lm-6 {size}, {words}:\n\n{markdown(quality_cells(mean(of_size)))}")
    for place in {(row["shape"], row["context"]): row["tokens"] for row in found["speed"]}.items():
        (shape, context), tokens = place
        rows = [
            SpeedRow(**{k: v for k, v in row.items() if k in SpeedRow.__slots__})
            for row in found["speed"]
            if (row["shape"], row["context"]) == (shape, context)
        ]
        head = f"Random Llama {shape}, {tokens} tokens behind {context}, one CPU thread, CPU time:"
        parts.append(f"{head}\n\n{markdown(speed_cells(rows))}")
    return "\n\n".join(parts) or "Not measured yet."


def mean(rows: list[dict[str, Any]]) -> list[QualityRow]:
    """One row for each task, method and budget: the mean over seeds."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["method"], row["budget"]), []).append(row)

    def of(group: list[dict[str, Any]], name: str) -> float:
        return sum(row[name] for row in group) / len(group)

    return [
        QualityRow(
            *key, of(group, "exact"), of(group, "answer"), group[0]["items"], int(of(group, "nbytes")),
            int(of(group, "full_nbytes")), max(row["slots"] for row in group), of(group, "seconds"),
        )
        for key, group in groups.items()
    ]  # fmt: skip


def write_page(size: str) -> None:
    """Put the tables between their marks in the page."""
    mark = re.compile(r"(<!-- measured -->\n).*?(\n<!-- end -->)", re.DOTALL)
    PAGE.write_text(mark.sub(lambda m: m[1] + tables(size) + m[2], PAGE.read_text("utf-8")), encoding="utf-8")


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--items", type=int)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--shape", default="12x768")
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--page", action="store_true", help="write the page only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.speed:
        speed(options.shape, options.context, options.tokens)
    elif not options.page:
        for seed in options.seeds.split(","):
            quality(options.size, int(seed), options.items, options.cache)
    if PAGE.exists():
        write_page(options.size)


if __name__ == "__main__":
    main()
