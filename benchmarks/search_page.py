"""What searches found, as records for the claim ledger and as tables of docs/search.md.

python benchmarks/search_page.py file --scratch FOLDER    scores the best recipes on all test tasks, appends the records
python benchmarks/search_page.py page                     writes the tables from results/search.json

Records are of variants of vision-8, in results/leaderboard/beside: base, experts, linear, tuned task arithmetic, and
the best recipe of every search that is named below.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from solera.app.live import merge_live
from solera.bench.arena import Arena, TestbedSource
from solera.bench.entries import Entry
from solera.bench.measuring import measure, reference
from solera.bench.records import BedRecord, RowRecord, Scored, append, read
from solera.evaluate import ScoreCache, default_cache
from solera.recipe import load
from solera.version import __version__

HERE = Path(__file__).parent
RECORDS = HERE / "results" / "leaderboard" / "beside" / "vision-8-search.jsonl"
FIGURES = HERE / "results" / "search.json"
PAGE = HERE.parent / "docs" / "search.md"
CMAES = "global-cmaes-100-0.5-{seed}"
VARIANTS = {
    "search": {"search.cmaes": CMAES, "search.random": "global-random-100-0.5-{seed}"},
    "search-few": {
        "search.cmaes": CMAES,
        "search.race": "race-100-race14121-{seed}",
        "search.mean": "race-100-meanof20items-{seed}",
        "search.gmp_irt": "race-100-gmpirt20items-{seed}",
    },
    "search-front": {"search.nsga2": "front-120-{seed}"},
}
"""Variant -> entry -> folder of its search on testbed seed `seed`. A seed is filed when it has all entries."""


def file(scratch: Path) -> None:
    """Append the records of the searches that are there; what is filed already is not scored again."""
    filed = {(row.variant, row.seed) for row in read(RECORDS).rows.values()} if RECORDS.exists() else set()
    for variant, entries in VARIANTS.items():
        for seed in range(5):
            folders = {entry: scratch / name.format(seed=seed) for entry, name in entries.items()}
            there = all((folder / "best.yaml").exists() for folder in folders.values())
            if there and (variant, seed) not in filed:
                append(RECORDS, rows_of(variant, seed, folders))
                sys.stdout.write(f"{variant}, seed {seed}\n")


def rows_of(variant: str, seed: int, folders: Mapping[str, Path]) -> list[BedRecord | RowRecord]:
    """Testbed, references and the searches' rows."""
    arena = TestbedSource("vision-8", "small", seed).open(ScoreCache(default_cache()))
    arena.record = replace(arena.record, variant=variant)
    rows: list[BedRecord | RowRecord] = [arena.record, reference(arena, "base"), reference(arena, "experts")]
    rows += measure(arena, Entry("linear", "linear"), ("default",))
    rows += measure(arena, Entry("task_arithmetic", "task_arithmetic"), ("tuned",))
    return rows + [record(arena, entry, folder) for entry, folder in folders.items()]


def record(arena: Arena, entry: str, folder: Path) -> RowRecord:
    """The best recipe of a search on all test tasks."""
    report = json.loads((folder / "report.json").read_text("utf-8"))
    live = merge_live(load(folder / "best.yaml"), threads=1)
    scores = arena.scores(live.tensors, arena.tasks["test"])
    rows = [(scores[task.name], task.group) for task in arena.record.tasks]
    bed = arena.record
    return RowRecord(
        **{key: getattr(bed, key) for key in ("testbed", "size", "seed", "digest", "variant")},
        entry=entry,
        mode="default",
        method="task_arithmetic",
        version=1,
        parameters={"evaluations": report["evaluations"], "items": report["items"]["scored"]},
        scores=tuple(Scored(row.value, row.each if group != "corrupted" else ()) for row, group in rows),
        model=live.digest,
        seconds=round(sum(report["seconds"].values()), 1),
        solera=__version__,
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def tables(found: Mapping[str, Any]) -> str:
    """All parts that were measured, as Markdown."""
    parts = {
        "optimizers": optimizers, "layer-wise": optimizers, "wide": optimizers, "front": front, "racing": racing,
        "estimators": estimators, "speed": speed, "layers": layers,
    }  # fmt: skip
    return "\n\n".join("\n".join(write(found[name])) for name, write in parts.items() if name in found)


def optimizers(part: Mapping[str, Any]) -> Iterator[str]:
    """One row for each optimizer; gaps to random search."""
    rows = part["rows"]
    seeds, beds = (len({row[kind] for row in rows}) for kind in ("seed", "bed"))
    end = rows[0].get("high", 1.0)
    count, genes = part["evaluations"], rows[0]["genes"]
    yield f"**Optimizers.** Task arithmetic, {genes} weights from 0 to {end:g}; mean accuracy of the"
    yield f"held-in tasks, percent, over {seeds} seeds on {beds} testbeds ({part['date']}); {count} evaluations."
    yield "Gaps with 95 % intervals over the seeds."
    yield ""
    yield "| optimizer | start, validation | best, validation | start, test | best, test |"
    yield "|---|---|---|---|---|"
    for name in dict.fromkeys(row["optimizer"] for row in rows):
        mine = [row for row in rows if row["optimizer"] == name]
        cells = [_mean(mine, kind, split) for split in ("validation", "test") for kind in ("start", "best")]
        yield f"| {name} | " + " | ".join(cells) + " |"
    yield ""
    for name, gap in part["gaps"].items():
        each = ", ".join(f"{value:+.2f}" for value in gap["each"])
        yield f"- {name}: {gap['mean']:+.2f} points [{gap['low']:+.2f}, {gap['high']:+.2f}]; by seed {each}"


def _mean(rows: Sequence[Mapping[str, Any]], kind: str, split: str) -> str:
    return f"{100 * statistics.fmean(row[kind][split]['mean'] for row in rows):.2f}"


def front(part: Mapping[str, Any]) -> Iterator[str]:
    """Fronts against single recipes."""
    rows = part["rows"]
    evaluations, singles = rows[0]["evaluations"], rows[0]["validation"]["singles"]
    yield f"**NSGA-II.** Two objectives (tasks on changed images, on changed labels), {evaluations} evaluations,"
    yield f"against {singles} recipes that one would try by hand: the average, six coefficients of task"
    yield "three of TIES. Volume: dominated above 50 % in both."
    yield ""
    yield "| seed | split | on the front | singles dominated | that dominate a point | volume | of the singles |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        for split in ("validation", "test"):
            one = row[split]
            counts = [one["front"], f"{one['dominated']} of {one['singles']}", one["dominating"]]
            cells = [row["seed"], split, *counts, f"{one['volume']:.4f}", f"{one['volume of singles']:.4f}"]
            yield "| " + " | ".join(map(str, cells)) + " |"


def racing(part: Mapping[str, Any]) -> Iterator[str]:
    """Fewer items."""
    rows = part["rows"]
    seeds = len({row["seed"] for row in rows})
    yield f"**Fewer items.** CMA-ES, {rows[0]['evaluations']} candidates, {seeds} seed{'s' if seeds > 1 else ''};"
    yield "the five best by a part of the items are scored on all."
    yield ""
    yield "| candidates are scored on | items scored | for calibration | share of all | best, validation | best, test |"
    yield "|---|---|---|---|---|---|"
    for way in dict.fromkeys(row["way"] for row in rows):
        mine = [row for row in rows if row["way"] == way]
        scored = statistics.fmean(row["items"]["scored"] for row in mine)
        fitted = statistics.fmean(row["calibration_items"] for row in mine)
        share = (scored + fitted) / mine[0]["items"]["of"]
        best = [_mean(mine, "best", split) for split in ("validation", "test")]
        cells = [f"{scored:,.0f}", f"{fitted:,.0f}", f"{100 * share:.0f} %", *best]
        yield f"| {way} | " + " | ".join(cells) + " |"


def estimators(part: Mapping[str, Any]) -> Iterator[str]:
    """Errors by the number of anchors."""
    rows = part["rows"]
    names = list(dict.fromkeys(row["estimator"] for row in rows))
    seeds = len({row["seed"] for row in rows})
    yield "**Estimators.** Error of the estimated mean accuracy of 40 merges, in points, and (in brackets) rank"
    yield f"correlation with the true one; random items; {seeds} testbed seed{'s' if seeds > 1 else ''}; fitted on"
    yield "the eight experts and 24 other merges, abilities of 8 dimensions."
    yield ""
    yield "| items of a task (of 224) | " + " | ".join(names) + " |"
    yield "|---|" + "---|" * len(names)
    for count in sorted({row["anchors"] for row in rows}):
        cells = []
        for name in names:
            key = (name, count, "random", 8)
            mine = [r for r in rows if (r["estimator"], r["anchors"], r["how"], r["dimensions"]) == key]
            error, rank = (statistics.fmean(r[number] for r in mine) for number in ("error", "rank"))
            cells.append(f"{error:.2f} ({rank:.3f})")
        yield f"| {count} | " + " | ".join(cells) + " |"


def speed(part: Mapping[str, Any]) -> Iterator[str]:
    """Making against scoring."""
    yield "**Speed.** A candidate made in memory and scored on 8 x 224 items of `vision-8` (0.14 M parameters, eight"
    yield "experts), one thread, after warm-up, the best of ten."
    yield ""
    yield "| method | make, ms | score, ms | make and score / score alone |"
    yield "|---|---|---|---|"
    for row in part["rows"]:
        yield f"| {row['method']} | {row['merge_ms']:.0f} | {row['score_ms']:.0f} | {row['ratio']:.2f} |"


def layers(part: Mapping[str, Any]) -> Iterator[str]:
    """Paths of layers."""
    rows = part["rows"]
    yield f"**Layers.** Paths through two narrow models of `lm-6` (8 layers), {rows[0]['evaluations']} evaluations."
    yield ""
    yield "| scales | seed | start, test | best, test | best single model, test |"
    yield "|---|---|---|---|---|"
    for row in rows:
        alone = max(value for key, value in row.items() if key.endswith("alone, test"))
        start, best = (next(iter(row[kind]["test"].values())) for kind in ("start", "best"))
        yield f"| {row['scales']} | {row['seed']} | {100 * start:.2f} | {100 * best:.2f} | {100 * alone:.2f} |"


def page() -> None:
    """Put the tables between their marks in the page."""
    text = PAGE.read_text("utf-8")
    mark = re.compile(r"(<!-- measured -->\n).*?(\n<!-- end -->)", re.DOTALL)
    made = tables(json.loads(FIGURES.read_text("utf-8")))
    PAGE.write_text(mark.sub(lambda m: m[1] + made + m[2], text), encoding="utf-8")


def main() -> None:
    """File records, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["file", "page"])
    parser.add_argument("--scratch", type=Path)
    args = parser.parse_args()
    if args.what == "page":
        page()
    elif args.scratch is None:
        parser.error("file needs --scratch")
    else:
        file(args.scratch)


if __name__ == "__main__":
    main()
