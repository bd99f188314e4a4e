"""Fewer layers on the narrow model of lm-6: merged by MKA, dropped, and dropped by a greedy search.

python benchmarks/depth.py [--size small] [--seeds 0] [--remove 1,2,3,4] [--samples 64] [--only NAME,...]
python benchmarks/depth.py --page

Layers are compared on questions and answers of the six tasks' training side. Every row is scored on the test items of
the tasks; the search drops layers one after the other, each time the one whose loss on validation items is least, and
makes its models as paths of the data-flow space. Appends leaderboard records of the variant `depth` to
results/leaderboard/beside (the whole model stands for the experts), from which the claim ledger is judged; a row that
is there is not taken again. Writes results/depth.json and the tables of docs/depth.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from solera.app.depth import Folding, fold_layers
from solera.app.live import merge_tensors
from solera.app.swapping import load_into
from solera.bench.leaderboard import Board, board
from solera.bench.records import BedRecord, RowRecord, Scored, TaskFacts, append, read
from solera.cli.calibration import testbed_batches
from solera.learn.statistics import Batch, Cut, measure
from solera.recipe.values import Recipe
from solera.search.layers import Hop, recipe_of
from solera.search.stacking import fitted
from solera.types import ModelRef
from solera.version import __version__

HERE = Path(__file__).parent
RECORDS = HERE / "results" / "leaderboard" / "beside" / "lm-6-depth.jsonl"
FIGURES = HERE / "results" / "depth.json"
PAGE = HERE.parent / "docs" / "depth.md"
VARIANT = "depth"


@dataclass(frozen=True)
class Way:
    """One way to leave layers out; `name` is followed by how many go."""

    name: str
    settings: dict[str, Any]
    dropped: bool = False


WAYS = (
    Way("mka", {}),
    Way("drop", {}, dropped=True),
    Way("mka.sigmoid", {"alpha": "sigmoid"}),
    Way("mka.half", {"alpha": 0.5}),
    Way("mka.last", {"pairs": "last", "alpha": "sigmoid"}),
    Way("drop.last", {"pairs": "last"}, dropped=True),
    Way("mka.averaged_norms", {"norms": "average"}),
)
SEARCH = "drop.searched"


class Bed:
    """A testbed with its narrow model, resident and measured once."""

    def __init__(self, size: str, seed: int, cache: Path | None, samples: int, work: Path) -> None:
        from solera import testbeds
        from solera.testbeds import using

        self.built = testbeds.open_built("lm-6", size=size, seed=seed, cache=cache)  # type: ignore[arg-type]
        self.model = ModelRef(str(self.built.extras["narrow"]))
        self.module: Any = using.load(self.built, self.model.path)
        self.tasks = [task for task in using.tasks(self.built, "test") if task.group == "held-in"]
        self.validation = [task for task in using.tasks(self.built, "validation") if task.group == "held-in"]
        self.layers = int(self.module.config.num_hidden_layers)
        self.statistics = work / f"{self.built.digest[:12]}-{samples}"
        began = time.process_time()
        measure(self.model, self._batches(samples), ["layer_output"], self.statistics, data="lm-6, all tasks")
        self.seconds = time.process_time() - began
        facts = tuple(TaskFacts(t.name, t.metric, t.items, expert=t.name, higher=t.higher) for t in self.tasks)
        self.record = BedRecord("lm-6", size, seed, self.built.digest, VARIANT, facts)

    def _batches(self, samples: int) -> list[Batch]:
        cut = Cut(samples)
        return [batch for task in self.built.experts for batch in testbed_batches(self.built, task, cut)]

    def folding(self, remove: int, **settings: Any) -> Folding:
        """What MKA chooses."""
        return fold_layers(self.model, self.statistics, remove=remove, **settings)

    def made(self, recipe: Recipe, layers: int) -> Any:
        """The model of a recipe, in memory."""
        module = fitted(self.module, layers)
        load_into(module, merge_tensors(recipe))
        return module

    def scored(self, module: Any) -> list[Scored]:
        """All test tasks."""
        found = [task.measure(module)[task.metric] for task in self.tasks]
        return [Scored(sum(each) / len(each), tuple(each)) for each in found]

    def loss(self, module: Any, *, validation: bool = True) -> float:
        """Mean loss over the tasks."""
        tasks = self.validation if validation else self.tasks
        found = [task.measure(module)["loss"] for task in tasks]
        return sum(sum(each) / len(each) for each in found) / len(found)


def searched(bed: Bed, most: int) -> Iterator[list[int]]:
    """Layers that stay, one fewer each time: the one goes whose loss is least without it."""
    kept = list(range(bed.layers))
    for _ in range(most):
        tries = [[layer for layer in kept if layer != one] for one in kept]
        kept = min(tries, key=lambda layers: bed.loss(bed.made(path(bed, layers), len(layers))))
        yield kept


def path(bed: Bed, layers: list[int]) -> Recipe:
    """Some of the layers, in order."""
    return recipe_of([bed.model], [Hop(0, layer) for layer in layers], ())


def row(bed: Bed, entry: str, scores: list[Scored], loss: float, **parameters: Any) -> RowRecord:
    """One row; its loss goes to the file of figures."""
    facts = {key: getattr(bed.record, key) for key in ("testbed", "size", "seed", "digest", "variant")}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    note({"entry": entry, "size": bed.record.size, "seed": bed.record.seed, "loss": round(loss, 4), **parameters})
    method = "passthrough" if entry.startswith("drop") else "mka" if entry.startswith("mka") else ""
    more = {"method": method, "parameters": parameters, "solera": __version__, "time": now}
    return RowRecord(**facts, entry=entry, mode="default", scores=tuple(scores), **more)


def note(figure: dict[str, Any]) -> None:
    """Add to the file of figures."""
    found = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {"form": 1, "rows": []}
    key = ("entry", "size", "seed")
    left = [one for one in found["rows"] if [one[k] for k in key] != [figure[k] for k in key]]
    rows = ",\n".join(json.dumps(one) for one in [*left, figure])
    FIGURES.write_text(f'{{"form": 1, "rows": [\n{rows}\n]}}\n', encoding="utf-8")


def run(bed: Bed, removed: list[int], only: list[str]) -> None:
    """Everything that is missing."""
    known = {(r.entry, r.bed) for r in read(RECORDS).rows.values()}

    def take(entry: str, module: Callable[[], Any], **parameters: Any) -> None:
        if (entry, bed.record.key) in known or (only and entry.rpartition(".")[0] not in only and entry != "experts"):
            return
        made = module()
        found = row(bed, entry, bed.scored(made), bed.loss(made, validation=False), **parameters)
        append(RECORDS, [bed.record, found])
        value = sum(s.value for s in found.scores if s) / len(found.scores)
        sys.stdout.write(f"{entry:24} {100 * value:.2f}\n")
        sys.stdout.flush()

    take("experts", lambda: bed.module, layers=list(range(bed.layers)))
    for count in removed:
        for way in WAYS:
            folding = bed.folding(count, **way.settings)
            recipe = folding.dropped if way.dropped else folding.recipe
            groups = [one.layers[:1] if way.dropped else one.layers for one in folding.folds]
            take(f"{way.name}.{count}", lambda r=recipe, g=groups: bed.made(r, len(g)), layers=groups, **way.settings)  # type: ignore[misc]
    if (not only or SEARCH in only) and any((f"{SEARCH}.{n}", bed.record.key) not in known for n in removed):
        for count, kept in enumerate(searched(bed, max(removed)), 1):
            take(f"{SEARCH}.{count}", lambda layers=kept: bed.made(path(bed, layers), len(layers)), layers=kept)  # type: ignore[misc]


def tables(size: str) -> str:
    """Ways by layers removed."""
    found = board(read(RECORDS), "lm-6", size, VARIANT)
    if found is None:
        return "Not measured yet."
    rows = [one for one in json.loads(FIGURES.read_text("utf-8"))["rows"] if one["size"] == size]
    counts = sorted({int(name.rpartition(".")[2]) for name, _ in (line.name for line in found.lines) if "." in name})
    lines = ["| | " + " | ".join(f"{n} gone" for n in counts) + " |", "|---|" + "---|" * len(counts)]
    lines += [
        f"| `{name}` | " + " | ".join(cell(found, rows, f"{name}.{n}") for n in counts) + " |"
        for name in [*(way.name for way in WAYS), SEARCH]
    ]
    whole = [one["loss"] for one in rows if one["entry"] == "experts"]
    lines += ["", f"Exact match in % of the whole model's; in brackets the loss, {sum(whole) / len(whole):.2f} of the "]
    return "\n".join(lines) + f"whole model. {len(found.beds)} seed{'s' if len(found.beds) > 1 else ''}."


def cell(found: Board, rows: list[dict[str, Any]], entry: str) -> str:
    """Score and loss."""
    line = found.line(entry, "default")
    if line is None:
        return "–"
    losses = [one["loss"] for one in rows if one["entry"] == entry]
    return f"{100 * line.held_in:.1f} ({sum(losses) / len(losses):.2f})"


def write_page(size: str) -> None:
    """Put the tables between their marks in the page."""
    text = PAGE.read_text("utf-8")
    mark = re.compile(r"(<!-- measured -->\n).*?(\n<!-- end -->)", re.DOTALL)
    PAGE.write_text(mark.sub(lambda m: m[1] + tables(size) + m[2], text), encoding="utf-8")


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--remove", default="1,2,3,4")
    parser.add_argument("--samples", type=int, default=64, help="examples of each task that layers are compared on")
    parser.add_argument("--only", default="")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "solera-depth")
    parser.add_argument("--page", action="store_true", help="write the page only")
    said = parser.parse_args()
    torch.set_num_threads(1)
    if not said.page:
        for seed in map(int, said.seeds.split(",")):
            bed = Bed(said.size, seed, said.cache, said.samples, said.work)
            run(bed, [int(n) for n in said.remove.split(",")], [name for name in said.only.split(",") if name])
    if PAGE.exists():
        write_page(said.size)


if __name__ == "__main__":
    main()
