"""What a budget costs and gives: bytes, wall time, distance to the whole merge, accuracy; beside the whole merge.

python benchmarks/budget.py [--short] [--only wall,error,analysis,accuracy] [--counts 2,8,20,24] [--rate 300]
                            [--scratch FOLDER] [--out benchmarks/results/budget.json]

Models are synthetic: a base and fine-tunes whose blocks change by amounts of their own (`budget_models.py`), of 0.1 B
parameters; of 17 M for distances and in `--short`. Every timed
run is a process of its own whose reads go through one source of `--rate` MB/s (`budget_run.py`); files lie in a
memory-backed folder, so that nothing else limits them. Accuracy is measured on the testbed vision-8, where it is built.
Rows are written as they come; `budget_page.py` makes docs/budget.md's tables and figures out of them. Figures only;
nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.budget_models import write_family
from benchmarks.measure import busy_seconds

METHODS = {"task_arithmetic": {"weight": 0.3}, "ties": {"density": 0.2}}
WALL_SHARES, ERROR_SHARES = ("5%", "10%", "20%", "50%"), ("2%", "5%", "10%", "20%", "35%", "50%", "75%")
Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What is asked for: where, how many models, how fast the source is, which shares."""

    folder: Path
    counts: tuple[int, ...]
    rate: float
    trials: int
    wall: Sequence[str]
    error: Sequence[str]

    def models(self, count: int) -> list[str]:
        """Folders of the first so many fine-tunes."""
        return [str(self.folder / f"e{k}") for k in range(count)]

    def run(self, what: str, count: int, **options: Any) -> Row:
        """One measured process; its figures, and how busy the machine was with other things."""
        asked = {"what": what, "base": str(self.folder / "base"), "models": self.models(count), "rate": self.rate,
                 "out": str(self.folder / "out"), **options}  # fmt: skip
        env = {**os.environ, "SOLERA_CATALOG": "off", "SOLERA_CACHE": str(self.folder / "cache"),
               "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path(__file__).parents[1])}  # fmt: skip
        before, began = busy_seconds(), time.monotonic()
        words = [sys.executable, "-m", "benchmarks.budget_run", json.dumps(asked)]
        done = subprocess.run(words, env=env, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        busy = (busy_seconds() - before - found["cpu_process"]) / (time.monotonic() - began)
        return {**found, "models": count, "others": round(busy, 2), "at": datetime.now(UTC).isoformat("T", "minutes")}


def analysis(bench: Bench) -> Iterator[Row]:
    """What sketching costs, beside one reading of the same files from the same source."""
    for count in (1, *bench.counts):
        floor = bench.run("read", count)
        made = bench.run("analyze", count, force=True)
        yield {"table": "analysis", **made, "read_s": floor["wall"], "ratio": made["wall"] / floor["wall"]}


def wall(bench: Bench) -> Iterator[Row]:
    """Wall time of the naive merge, of ours, and of ours under budgets."""
    for count in bench.counts:
        for method, values in METHODS.items():
            given = {"method": method, "values": values}
            if method == "task_arithmetic":
                yield _best(bench, {"table": "wall", "method": method, "budget": "naive"}, "naive", count, given)
            for share in (None, *bench.wall):
                label = {"table": "wall", "method": method, "budget": share or "none"}
                yield _best(bench, label, "merge", count, {**given, "budget": share})


def _best(bench: Bench, label: Row, what: str, count: int, options: Row) -> Row:
    """The quickest of some trials; all walls are kept."""
    rows = [bench.run(what, count, **options) for _ in range(bench.trials)]
    best = min(rows, key=lambda row: row["wall"])
    return {**label, **best, "walls": [row["wall"] for row in rows]}


def error(bench: Bench) -> Iterator[Row]:
    """Distance to the whole merge: blocks chosen, and blocks drawn at random, at equal bytes."""
    for count in bench.counts:
        for method, values in METHODS.items():
            given = {"method": method, "values": values, "shares": list(bench.error)}
            found = bench.run("errors", count, **given, rate=0)
            for row in found["rows"]:
                yield {"table": "error", "method": method, "models": count, "at": found["at"], **row}


def accuracy(seeds: Sequence[int]) -> Iterator[Row]:
    """Accuracy of merges of the eight experts of vision-8 under budgets."""
    from benchmarks.budget_testbed import rows

    for seed in seeds:
        os.environ["SOLERA_CATALOG"] = "off"
        yield from rows(seed)


def _ready(bench: Bench, *, small: bool) -> None:
    """Models of the size that a table asks for, sketched."""
    if (bench.folder / f"small-{small}").exists():
        return
    shutil.rmtree(bench.folder, ignore_errors=True)
    write_family(bench.folder, max(bench.counts), small=small)
    (bench.folder / f"small-{small}").touch()
    bench.run("analyze", max(bench.counts), rate=0)


def main() -> None:
    """Measure what is asked, and write all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="small files, few counts: some minutes")
    parser.add_argument("--only", default="analysis,wall,error,accuracy")
    parser.add_argument("--counts")
    parser.add_argument("--rate", type=float, help="MB/s of the source; default 300, in short 100")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm" if Path("/dev/shm").is_dir() else "build"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "budget.json")
    asked = parser.parse_args()
    counts = tuple(map(int, (asked.counts or ("2,4" if asked.short else "2,8,20,24")).split(",")))
    shares = (("10%", "50%"), ("5%", "20%", "50%")) if asked.short else (WALL_SHARES, ERROR_SHARES)
    folder = asked.scratch / f"solera-budget-{os.getpid()}"
    rate = asked.rate if asked.rate is not None else 100.0 if asked.short else 300.0
    bench = Bench(folder, counts, rate, 1 if asked.short else asked.trials, *shares)
    wanted = asked.only.split(",")
    kept = json.loads(asked.out.read_text()) if asked.out.exists() else []
    rows = [row for row in kept if row["table"] not in wanted]
    tables = {"analysis": analysis, "wall": wall, "error": error}
    try:
        for table in wanted:
            if table in tables:
                _ready(bench, small=asked.short or table == "error")
            made = accuracy(list(map(int, asked.seeds.split(",")))) if table == "accuracy" else tables[table](bench)
            for row in made:
                rows.append({**row, "rate": bench.rate} if table in ("analysis", "wall") else row)
                sys.stdout.write(json.dumps({k: v for k, v in row.items() if k != "walls"}) + "\n")
                sys.stdout.flush()
                asked.out.write_text("[\n" + ",\n".join(json.dumps(r, sort_keys=True) for r in rows) + "\n]\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
