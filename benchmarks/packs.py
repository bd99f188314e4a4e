"""Packs on the testbeds vision-8 and lm-6, beside merges into one model: scores, and how large they are.

python benchmarks/packs.py [--testbed vision-8] [--size small] [--seeds 0,1,2] [--cache FOLDER] [--only NAME,...]
python benchmarks/packs.py --page     the table of docs/packs.md only

Rows named `.given` are told the task of every input; the others route every input by themselves, language models by the
prompt alone. TALL masks take the threshold that is best on the validation split, task by task, as in the paper. Appends
leaderboard records of the variant `packs` to results/leaderboard/beside, from which the claim ledger is judged; a row
that is there is not taken again. Writes results/packs.json (bytes, router, times) and the table of docs/packs.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import beside
import torch

from solera.app.pack_making import pack_make
from solera.app.pack_report import PackMake, PackReport
from solera.bench.arena import Arena
from solera.bench.records import RowRecord
from solera.cli.calibration import testbed_batches
from solera.evaluate import Score, headline, score
from solera.evaluate.contract import Task
from solera.inference.routed import PackModel, load_pack
from solera.learn.statistics import Batch, Cut
from solera.learn.statistics.contract import IGNORED

FIGURES = Path(__file__).parent / "results" / "packs.json"
PAGE = beside.DOCS / "packs.md"
STATIC = ("task_arithmetic", "tsv_m")
HEADER = ("held-in", "damaged", "bytes", "router right", "seeds")
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6)
SAMPLES = 256
"""Examples of each task that the router is trained on."""


@dataclass(frozen=True)
class Try:
    """One pack, and whether it is told the tasks."""

    name: str
    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    given: bool = False


MEAN = {"lambda": 0.125}
TRIES = (
    Try("twin", "twin", {"rank": 0.1, **MEAN}),
    Try("twin.given", "twin", {"rank": 0.1, **MEAN}, given=True),
    Try("tall_mask.given", "tall_mask", given=True),
    Try("emr.given", "emr", given=True),
    Try("tall_mask", "tall_mask"),
    Try("emr", "emr"),
    Try("twin.quarter", "twin", {"rank": 0.25, **MEAN}),
    Try("twin.quarter.given", "twin", {"rank": 0.25, **MEAN}, given=True),
)


class Prompted(torch.nn.Module):
    """A pack of language models that routes by what stands before the answer."""

    def __init__(self, pack: PackModel, answer: int) -> None:
        """`answer`: the token behind which the answer begins."""
        super().__init__()
        self.pack, self.answer = pack, answer

    def forward(self, input_ids: torch.Tensor, **options: Any) -> Any:
        """As the model inside, each row with the weights of its prompt."""
        begun = (input_ids == self.answer).long().cumsum(-1)
        prompt = ((begun == 0) | ((begun == 1) & (input_ids == self.answer))).long()
        weights = self.pack.weights_for({"input_ids": input_ids, "attention_mask": prompt})
        return self.pack(input_ids=input_ids, weights=weights, **options)


def lessons(built: Any, names: Sequence[str]) -> list[list[Batch]]:
    """Training inputs of every task; of texts, what stands before the answer."""
    return [[_prompt(batch) for batch in testbed_batches(built, name, Cut(SAMPLES, 64))] for name in names]


def _prompt(batch: Batch) -> Batch:
    if "input_ids" not in batch.inputs:
        return batch
    assert batch.labels is not None
    given = batch.inputs["attention_mask"] * (batch.labels == IGNORED)
    return Batch({"input_ids": batch.inputs["input_ids"], "attention_mask": given})


def packed(arena: Arena, built: Any, one: Try, out: Path, parameters: Mapping[str, Any], *, taught: bool) -> PackReport:
    """Make a pack of all experts."""
    names, base = tuple(arena.experts), arena.base
    assert base is not None
    experts = tuple(model.path for model in arena.experts.values())
    wanted = PackMake(experts, base.path, one.method, parameters, names=names, seed=arena.record.seed)
    return pack_make(wanted, out, lessons=lessons(built, names) if taught else None, force=True)


def thresholds(arena: Arena, built: Any, one: Try, out: Path) -> dict[str, Any]:
    """For TALL masks the threshold of every task that is best on the validation split."""
    if one.method != "tall_mask":
        return dict(one.parameters)
    tasks = [task for task in arena.tasks["validation"] if task.group == "held-in"]
    best = dict.fromkeys(arena.experts, (-1.0, 0.0))
    for threshold in THRESHOLDS:
        packed(arena, built, one, out, {"threshold": threshold}, taught=False)
        for name, row in given(load_pack(out), tasks, arena.record.seed).items():
            best[name] = max(best[name], (row.value, -threshold))
    return {"threshold": [-best[name][1] for name in arena.experts]}


def given(model: PackModel, tasks: Sequence[Task], seed: int) -> dict[str, Score]:
    """Scores where every input is told its task."""
    found: dict[str, Score] = {}
    for name in model.tasks:
        mine = [task for task in tasks if task.expert == name]
        with model.using(name):
            found |= headline(score(model, str(model.config.index), mine, seed=seed), mine)
    return found


def routed(model: PackModel, built: Any, tasks: Sequence[Task], seed: int) -> dict[str, Score]:
    """Scores where every input is routed by itself."""
    runner: torch.nn.Module = model
    if model.can_generate():
        from solera.testbeds.language.lm_stages import tokenizer_of

        marker = tokenizer_of(built.base).convert_tokens_to_ids("<|assistant|>")
        runner = Prompted(model, marker)
    return headline(score(runner, str(model.config.index), tasks, seed=seed), tasks)


def tried(arena: Arena, built: Any, one: Try, out: Path) -> tuple[RowRecord, dict[str, Any]]:
    """Make, load, score; the record, and what it took."""
    parameters = thresholds(arena, built, one, out)
    began = time.process_time()
    report = packed(arena, built, one, out, parameters, taught=not one.given)
    made = time.process_time() - began
    model, tasks, seed = load_pack(out), arena.tasks["test"], arena.record.seed
    began = time.process_time()
    found = given(model, tasks, seed) if one.given else routed(model, built, tasks, seed)
    scored = time.process_time() - began
    bed, said = arena.record, {**parameters, "bytes": report.sizes["total"]}
    record = beside.record(
        arena, one.name, "default", beside.scored(arena, found), method=one.method, parameters=said,
        model=report.digest, seconds=round(made, 2),
    )  # fmt: skip
    took = {"name": one.name, "testbed": bed.testbed, "size": bed.size, "seed": seed, "sizes": dict(report.sizes)}
    took |= {"parameters": parameters, "router": dict(report.router), "tasks": dict(report.tasks)}
    return record, {**took, "make_cpu_s": round(made, 2), "score_cpu_s": round(scored, 2)}


def figures() -> list[dict[str, Any]]:
    """The rows of the file of sizes and times."""
    return json.loads(FIGURES.read_text("utf-8"))["rows"] if FIGURES.exists() else []


def note(took: dict[str, Any]) -> None:
    """Add to that file."""
    key = ("name", "testbed", "size", "seed")
    left = [row for row in figures() if [row[k] for k in key] != [took[k] for k in key]]
    FIGURES.write_text(json.dumps({"form": 1, "rows": [*left, took]}, indent=1) + "\n", encoding="utf-8")


def run(options: argparse.Namespace) -> None:
    """Everything that is missing."""
    variant = beside.Variant(options.testbed, "packs")
    only = [name for name in options.only.split(",") if name]
    for seed in map(int, options.seeds.split(",")):
        arena, built = beside.opened(variant, options.size, seed, options.cache)
        beside.references(variant, arena, STATIC)
        for one in TRIES:
            if (one.name, "default") in beside.filed(variant, arena) or (only and one.name not in only):
                continue
            with tempfile.TemporaryDirectory() as place:
                row, took = tried(arena, built, one, Path(place) / "pack")
            beside.file(variant, arena, row)
            note(took)


def table(testbed: str, size: str) -> str:
    """What was measured on one testbed, as Markdown."""
    found = beside.Variant(testbed, "packs").board(size)
    if found is None:
        return ""
    took = [row for row in figures() if row["testbed"] == testbed and row["size"] == size]
    lines = [line for line in found.lines if line.name not in [(name, "default") for name in STATIC]]
    return beside.table((testbed, *HEADER), [_row(line, took) for line in lines])


def _row(line: Any, took: Sequence[Mapping[str, Any]]) -> list[object]:
    mine = [row for row in took if row["name"] == line.name[0]]
    right = [row["router"]["accuracy"] for row in mine if row["router"]]
    sizes = f"{100 * fmean(row['sizes']['share'] for row in mine):.1f} %" if mine else "–"
    router = f"{100 * fmean(right):.0f} %" if right else "–"
    return [beside.label(line), *beside.groups(line, ("held-in", "corrupted")), sizes, router, len(line.seeds)]


def write_page(size: str) -> None:
    """Put the tables between their marks in the page."""
    found = [table(name, size) for name in ("vision-8", "lm-6")]
    beside.put(PAGE, "\n\n".join(text for text in found if text))


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testbed", default="vision-8", choices=("vision-8", "lm-6"))
    parser.add_argument("--size", default="small")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--page", action="store_true", help="write the page only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.page:
        run(options)
    write_page(options.size)


if __name__ == "__main__":
    main()
