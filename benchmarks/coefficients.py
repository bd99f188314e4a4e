"""Learnt coefficients on the testbed vision-8, beside the average and tuned task arithmetic.

python benchmarks/coefficients.py [--size small] [--seeds 0,1,2] [--cache FOLDER] [--only NAME,...]
python benchmarks/coefficients.py --peak     memory of a larger random model, task vectors held and streamed
python benchmarks/coefficients.py --page

Every learner sees unlabelled images only; rows named `.test` those that it is judged on, as in the paper, others the
validation split. Appends leaderboard records of the variant `coefficients` to results/leaderboard/beside, from which
the claim ledger is judged; a row that is there is not taken again, and a run that was stopped goes on. Writes
results/coefficients.json (time and memory) and the tables of docs/coefficients.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import beside
import torch

from solera.app.holding import open_again
from solera.app.live import merge_live
from solera.bench.arena import Arena
from solera.bench.records import RowRecord
from solera.cli.calibration import testbed_batches
from solera.learn.coefficients import Job, TaskData, learn, learner
from solera.learn.statistics import Batch, Cut
from solera.learn.statistics.loading import load_model
from solera.recipe.values import Merge, Operand, Recipe
from solera.testing.models import build, expert_of
from solera.types import ModelRef

VARIANT = beside.Variant("vision-8", "coefficients")
FIGURES = Path(__file__).parent / "results" / "coefficients.json"
PAGE = beside.DOCS / "coefficients.md"
HEADER = ("", "images seen", "held-in", "unseen", "damaged", "seeds", "CPU s", "coefficients")


@dataclass(frozen=True)
class Try:
    """One learner in one setting; `part`: the images that it sees."""

    name: str
    method: str
    changes: dict[str, Any]
    part: str = "test"


TRIES = (
    Try("adamerging.tensor.test", "adamerging", {"granularity": "tensor"}),
    Try("adamerging.task.test", "adamerging", {"granularity": "task"}),
    Try("expert_merging", "expert_merging", {"steps": 25}, "validation"),
    Try("adamerging.tensor", "adamerging", {"granularity": "tensor"}, "validation"),
    Try("adamerging.near.test", "adamerging", {"granularity": "tensor", "init": 0.125}),
    Try("adamerging_plus_plus.test", "adamerging_plus_plus", {"granularity": "tensor"}),
    Try("expert_merging.hidden", "expert_merging", {"steps": 25, "hidden": 1.0}, "validation"),
)


def learnt(arena: Arena, built: Any, one: Try, out: Path) -> tuple[RowRecord, dict[str, Any]]:
    """Learn, merge by the recipe, score; the record, and what it took."""
    card = learner(one.method)
    said = card.defaults.but(**one.changes)
    operands = tuple(Operand(model) for model in arena.experts.values())
    recipe = Recipe(Merge("task_arithmetic", operands, base=arena.base))
    cut = Cut(card.samples, said.batch)
    tasks = [
        TaskData(name, tuple(replace(b, labels=None) for b in testbed_batches(built, name, cut, one.part)), k)  # type: ignore[arg-type]
        for k, name in enumerate(arena.experts)
    ]
    began = time.process_time()
    result = learn(Job(recipe, card, tasks, said, out), force=(out / "recipe.yaml").exists())
    seconds = time.process_time() - began
    merged = merge_live(result.recipe_path, threads=1)
    bed, found = arena.record, arena.scores(merged.tensors, arena.tasks["test"])
    record = beside.record(
        arena,
        one.name,
        "default",
        beside.scored(arena, found),
        method=one.method,
        parameters={**one.changes, "images": one.part},
        model=merged.digest,
        seconds=round(seconds, 2),
        memory=sum(result.learnt.memory[key] for key in ("held", "merged")),
    )
    took = {
        "name": one.name,
        "size": bed.size,
        "seed": bed.seed,
        "digest": bed.digest,
        "cpu_seconds": round(seconds, 2),
    }
    took |= {"steps": result.learnt.chosen, "coefficients": sum(map(len, result.learnt.coefficients.values()))}
    took |= {
        "memory": dict(result.learnt.memory),
        "losses": [*result.learnt.losses[::25], result.learnt.losses[-1]],
    }
    return record, took


def figures() -> dict[str, Any]:
    """The file of times and memory."""
    return json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {"form": 1, "rows": [], "peaks": []}


def note(took: dict[str, Any], kind: str = "rows", key: tuple[str, ...] = ("name", "size", "seed")) -> None:
    """Add to the file of times and memory."""
    found = figures()
    left = [row for row in found[kind] if [row[k] for k in key] != [took[k] for k in key]]
    FIGURES.write_text(json.dumps({**found, kind: [*left, took]}, indent=1) + "\n", encoding="utf-8")


def peak(work: Path) -> None:
    """Peak memory of two steps on a random Llama with four experts: task vectors held, and read anew each time."""
    sizes = {"hidden_size": 512, "intermediate_size": 1408, "num_attention_heads": 8, "num_key_value_heads": 8}
    base = build("llama", work / "base", layers=8, vocab=1000, head_dim=64, **sizes)
    for k in range(4):
        expert_of(base, work / f"e{k}", seed=k + 1)
    for name in ("held", "streamed"):
        subprocess.run([sys.executable, __file__, "--peak-of", name, "--work", str(work)], check=True)


def peak_of(name: str, work: Path) -> None:
    """One of the two, in this process."""
    refs = [ModelRef(str(work / one)) for one in ("base", "e0", "e1", "e2", "e3")]
    recipe = Recipe(Merge("task_arithmetic", tuple(map(Operand, refs[1:])), base=refs[0]))
    ids = torch.randint(1, 1000, (4, 32), generator=torch.Generator().manual_seed(0))
    data = [TaskData(str(k), (Batch({"input_ids": ids}),), k) for k in range(4)]
    card = learner("adamerging")
    load_model(refs[0])(input_ids=ids)  # what every process holds: libraries, and one model that is let go
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    said = card.defaults.but(steps=2, batch=1, batches=1, every=2)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as place:
        job = Job(recipe, card, data, said, Path(place) / "out", memory=4 << 30 if name == "held" else 0)
        found = learn(job).learnt
    seconds = round(time.process_time() - began, 2)
    took = {"name": name, "weights": open_again(refs[0]).nbytes, "models": 4, "above": found.memory["peak"] - idle}
    note({**took, **found.memory, "cpu_seconds": seconds}, "peaks", ("name",))
    sys.stdout.write(f"{name}: {took['above'] / 2**20:.0f} MiB above, weights {took['weights'] / 2**20:.0f} MiB\n")


def run(size: str, seeds: list[int], cache: Path | None, only: list[str], work: Path) -> None:
    """Everything that is missing, the most telling rows of all seeds first."""
    for one in (each for each in TRIES if not only or each.name in only):
        for seed in seeds:
            arena, built = beside.opened(VARIANT, size, seed, cache)
            beside.references(VARIANT, arena)
            if (one.name, "default") in beside.filed(VARIANT, arena):
                continue
            row, took = learnt(arena, built, one, work / f"{one.name}-{seed}-{arena.record.digest[:8]}")
            beside.file(VARIANT, arena, row)
            note(took)


def tables(size: str) -> str:
    """What was measured, as Markdown."""
    found = VARIANT.board(size)
    if found is None:
        return "Not measured yet."
    took = {(r["name"], r["seed"]): r for r in figures()["rows"] if r["size"] == size}
    rows = []
    for line in found.lines:
        if line.name == ("task_arithmetic", "default"):
            continue
        mine = [row for (name, _), row in took.items() if name == line.name[0]]
        seconds = f"{sum(r['cpu_seconds'] for r in mine) / len(mine):.0f}" if mine else "–"
        seen = next(iter(line.parameters.values())).get("images", "–")
        count = mine[0]["coefficients"] if mine else "–"
        rows.append([beside.label(line), seen, *beside.groups(line), len(line.seeds), seconds, count])
    return beside.table(HEADER, rows)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "solera-coefficients")
    parser.add_argument("--peak", action="store_true")
    parser.add_argument("--peak-of", default="", help=argparse.SUPPRESS)
    parser.add_argument("--page", action="store_true", help="write the page only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak_of:
        peak_of(options.peak_of, options.work)
        return
    if options.peak:
        peak(options.work)
    elif not options.page:
        only = [name for name in options.only.split(",") if name]
        run(options.size, [int(seed) for seed in options.seeds.split(",")], options.cache, only, options.work)
    beside.put(PAGE, tables(options.size))


if __name__ == "__main__":
    main()
