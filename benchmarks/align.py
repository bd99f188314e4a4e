"""Barriers between networks of different seeds, before and after alignment, on the testbed seeds-4.

python benchmarks/align.py [--size small] [--seeds 0] [--steps 10] [--kinds mlp cnn vit gru] [--restarts 1] [--page]

For each network and method: loss (nats) and accuracy (percent) of the equal mean and the barriers on the straight path,
as found and aligned, and of the aligned mean with its statistics mended on training images (batch norms measured again;
REPAIR for the perceptron). Writes results/align.json and the table of docs/align.md; a testbed that is filed is not
measured again. Appends leaderboard records of the variant `align` to results/leaderboard/beside, from which the claim
ledger is judged: there a task is a kind of network, its expert the two networks that are merged, and the score the
accuracy of the model in the middle of the path, which has no barrier where it is as good as its ends.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import beside
import torch

from solera.arch import identify
from solera.bench.records import BedRecord, RowRecord, Scored, TaskFacts, append, read
from solera.checkpoints import open_checkpoint
from solera.methods.align.activations import match_activations
from solera.methods.align.groups import symmetry_groups
from solera.methods.align.matching import Match, match_weights
from solera.methods.align.permuting import permuted
from solera.methods.align.repair import repair, reset_batch_norm
from solera.testbeds import open_built
from solera.testbeds.seeds import networks, scoring
from solera.testbeds.seeds.paths import barrier, between
from solera.testbeds.vision import images
from solera.testbeds.vision.views import as_input, as_tensor
from solera.version import __version__

VARIANT = beside.Variant("seeds-4", "align")
FIGURES = Path(__file__).parent / "results" / "align.json"
PAGE = beside.DOCS / "align.md"
REPAIRED = {"mlp": ("layers.0", "layers.1")}
PAPER = ("mlp", "cnn")
"""Kinds that the paper has; in the records these are held-in, the others unseen."""
METHODS = ("weights", "activations")
NAMES = {"mlp": "perceptron, {} wide", "cnn": "convolutions, {} wide", "gru": "GRU, {} wide", "vit": "ViT, {} wide"}
Each = dict[str, list[float]]


class Pair:
    """Two networks of one kind, and all that is measured on them."""

    def __init__(self, folder: Path, kind: str, steps: int) -> None:
        """Load both, with the architecture's groups."""
        self.folder, self.kind, self.steps = folder, kind, steps
        self.paths = [folder / "models" / f"{kind}-{run}" for run in ("a", "b")]
        self.ends = [networks.load(path) for path in self.paths]
        opened = open_checkpoint(self.paths[0])
        self.architecture = identify(opened.config, opened.table)
        self.groups = symmetry_groups(self.architecture, opened.specs, opened.config)
        self.task = scoring.tasks(folder, "test")[0]
        self.inputs = as_input(as_tensor(images.read(folder, "train").pixels))
        self.width = int(opened.config["hidden_size"])

    def batches(self) -> Iterator[dict[str, torch.Tensor]]:
        """Training images, in batches of 128."""
        return ({"pixel_values": part} for part in torch.split(self.inputs, 128))

    def leaves(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Weights by canonical leaf name."""
        return {self.architecture.leaf_name(name): value for name, value in state.items()}

    def matched(self, method: str, restarts: int) -> Match:
        """The order of the second network's units; the best of several seeds by the objective."""
        if method == "activations":
            return match_activations(self.groups, self.architecture, *self.ends, self.batches())
        a, b = (self.leaves(end.state_dict()) for end in self.ends)
        return max((match_weights(self.groups, a, b, seed=seed) for seed in range(restarts)), key=lambda m: m.after)

    def aligned(self, match: Match) -> Any:
        """The second network with its units in the order found."""
        moved = permuted(self.leaves(self.ends[1].state_dict()), self.groups, match.orders)
        other = copy.deepcopy(self.ends[1])
        other.load_state_dict({name: moved[self.architecture.leaf_name(name)] for name in other.state_dict()})
        return other

    def change(self, other: Any) -> float:
        """Largest change of the second network's logits by its alignment."""
        x = self.inputs[:128]
        with torch.no_grad():
            return float((self.ends[1](pixel_values=x).logits - other(pixel_values=x).logits).abs().max())

    def middle(self, other: Any, share: float = 0.5) -> Any:
        """The network at `share` of the way."""
        a, b, model = self.ends[0].state_dict(), other.state_dict(), copy.deepcopy(self.ends[0])
        model.load_state_dict({key: between(a[key], b[key], share) for key in a})
        return model.eval()

    def mended(self, other: Any) -> Any:
        """The equal mean with its statistics mended, None where this network has no way to."""
        model = self.middle(other)
        if self.kind in REPAIRED:
            repair(model, [self.ends[0], other], REPAIRED[self.kind], self.batches)
            return model
        return model if reset_batch_norm(model, self.batches()) else None

    def each(self, model: Any) -> Each:
        """Loss and accuracy of every test image."""
        with torch.no_grad():
            return dict(self.task.measure(model))

    def scores(self, model: Any) -> tuple[float, float]:
        """Loss and accuracy on the test images."""
        found = self.each(model)
        return mean(found["loss"]), 100 * mean(found["accuracy"])

    def along(self, other: Any) -> dict[str, float]:
        """Barriers of the straight path, and its middle."""
        points = [self.scores(self.middle(other, step / self.steps)) for step in range(self.steps + 1)]
        loss, accuracy = points[self.steps // 2]
        return {
            "loss_barrier": barrier([p[0] for p in points]),
            "accuracy_barrier": barrier([-p[1] for p in points]),
            "loss": loss,
            "accuracy": accuracy,
        }


def measured(pair: Pair, restarts: int) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Everything on one kind of network: the figures, and entry -> accuracy of every test image."""
    facts: dict[str, Any] = {"network": pair.kind, "width": pair.width, "groups": len(pair.groups)}
    facts |= {"ends": [pair.scores(end)[1] for end in pair.ends], "naive": pair.along(pair.ends[1])}
    models = {"mean": pair.middle(pair.ends[1]), "mean.mended": pair.mended(pair.ends[1])}
    for method in METHODS:
        began = time.perf_counter()
        match = pair.matched(method, restarts)
        took = time.perf_counter() - began
        other = pair.aligned(match)
        facts[method] = {"sweeps": match.sweeps, "objective": [match.before, match.after], "seconds": took}
        facts[method] |= {"largest_change_of_logits": pair.change(other), **pair.along(other)}
        models |= {f"mean.{method}": pair.middle(other), f"mean.{method}.mended": pair.mended(other)}
    found = {entry: pair.each(model) for entry, model in models.items() if model is not None}
    facts["mended"] = {
        entry.removesuffix(".mended"): {"loss": mean(each["loss"]), "accuracy": 100 * mean(each["accuracy"])}
        for entry, each in found.items()
        if entry.endswith(".mended")
    }
    ends = [pair.each(end)["accuracy"] for end in pair.ends]
    own = [mean(pair_of_ends) for pair_of_ends in zip(*ends, strict=True)]
    return facts, {"experts": own, **{entry: each["accuracy"] for entry, each in found.items()}}


def rounded(value: Any) -> Any:
    """Four significant digits, for people."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def records(built: Any, found: Mapping[str, Mapping[str, Sequence[float]]]) -> list[BedRecord | RowRecord]:
    """The bed and its rows, from kind -> entry -> accuracy of every test image."""
    bed = BedRecord(
        built.name, built.size, built.seed, built.digest, VARIANT.name,
        tuple(
            TaskFacts(kind, "accuracy", len(each["experts"]), "held-in" if kind in PAPER else "unseen", kind)
            for kind, each in found.items()
        ),
        tuple(f"{kind}-{end}" for kind in found for end in "ab"),
    )  # fmt: skip
    entries = dict.fromkeys(entry for each in found.values() for entry in each)
    return [bed, *(row(bed, entry, [each.get(entry) for each in found.values()]) for entry in entries)]


def row(bed: BedRecord, entry: str, scores: Sequence[Sequence[float] | None]) -> RowRecord:
    """One entry; None where a kind of network has none."""
    return RowRecord(
        bed.testbed, bed.size, bed.seed, bed.digest, bed.variant, entry, "default",
        method="" if entry == "experts" else "linear",
        scores=tuple(None if each is None else Scored(mean(each), tuple(each)) for each in scores),
        solera=__version__, time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )  # fmt: skip


def figures() -> list[dict[str, Any]]:
    """The rows of results/align.json."""
    return json.loads(FIGURES.read_text("utf-8"))["rows"] if FIGURES.exists() else []


def run(size: str, seed: int, steps: int, kinds: Sequence[str], restarts: int) -> None:
    """Measure one testbed and file it."""
    built = open_built("seeds-4", size=size, seed=seed)
    if any(bed.digest == built.digest for bed in read(VARIANT.path).beds.values()):
        return
    found = {}
    for kind in kinds:
        facts, found[kind] = measured(Pair(built.folder, kind, steps), restarts)
        facts = rounded({"size": size, "seed": seed, **facts})
        left = [each for each in figures() if [each[k] for k in ("size", "seed", "network")] != [size, seed, kind]]
        FIGURES.write_text(json.dumps({"form": 1, "rows": [*left, facts]}, indent=1) + "\n", encoding="utf-8")
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
    if set(kinds) == set(networks.KINDS):
        append(VARIANT.path, records(built, found))


HEADER = (
    "network", "barrier naive", "by weights", "by activations", "mean naive", "by weights", "by activations",
    "mended (weights, activations)", "ends",
)  # fmt: skip


def page(size: str) -> str:
    """The table: figures of all seeds, averaged."""
    rows = [each for each in figures() if each["size"] == size]
    kinds = [kind for kind in ("mlp", "cnn", "gru", "vit") if any(each["network"] == kind for each in rows)]
    if not rows:
        return ""
    return beside.table(HEADER, ([*cells([each for each in rows if each["network"] == kind])] for kind in kinds))


def cells(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One kind of network; the better alignment is bold."""
    first, paths = rows[0], ("naive", *METHODS)
    yield NAMES[first["network"]].format(first["width"])
    barriers = {path: mean(each[path]["loss_barrier"] for each in rows) for path in paths}
    middles = {path: mean(each[path]["accuracy"] for each in rows) for path in paths}
    for value in barriers.values():
        yield f"**{value:.3f}**" if value == min(barriers.values()) else f"{value:.3f}"
    for value in middles.values():
        yield f"**{value:.1f}**" if value == max(middles.values()) else f"{value:.1f}"
    mended = [[each["mended"].get(f"mean.{m}") for each in rows] for m in METHODS]
    yield ", ".join(f"{mean(one['accuracy'] for one in ones):.1f}" for ones in mended if all(ones)) or "–"
    yield ", ".join(f"{mean(each['ends'][k] for each in rows):.1f}" for k in (0, 1))


def main() -> None:
    """Measure, and write the page."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", default="small")
    options.add_argument("--seeds", default="0")
    options.add_argument("--steps", type=int, default=10)
    options.add_argument("--restarts", type=int, default=1)
    options.add_argument("--kinds", nargs="+", default=list(networks.KINDS))
    options.add_argument("--page", action="store_true", help="write the page only")
    asked = options.parse_args()
    torch.set_num_threads(1)
    for seed in [] if asked.page else map(int, asked.seeds.split(",")):
        run(asked.size, seed, asked.steps, asked.kinds, asked.restarts)
    beside.put(PAGE, page(asked.size))


if __name__ == "__main__":
    main()
