"""Experts merged and pruned on the testbed moe-8, and a mixture made of the experts of lm-6.

python benchmarks/moe.py [--seeds 0] [--models mixtral,qwen3] [--keep 6,4,2] [--only NAME,...] [--items N]
python benchmarks/moe.py --generated    by what models write, at 4 of 8 experts: what REAP's claim is about
python benchmarks/moe.py --upcycled     experts of lm-6 as one mixture, beside their average
python benchmarks/moe.py --peak         memory and time of a larger random Mixtral
python benchmarks/moe.py --page         write the tables of docs/moe.md only

Statistics are measured on training inputs of all tasks, models judged on test items; `--items` takes only the first N
of every task, and files its rows apart. Appends leaderboard records of the variants `mixtral`, `qwen3`,
`mixtral-generated`, `qwen3-generated` and `upcycled` to results/leaderboard/beside, from which the claim ledger is
judged; a row that is there is not taken again, so a run that was stopped goes on. The unreduced model is the row
`experts`: scores are shares of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from solera.app import ExpertMerge, ExpertReport, Upcycle, moe_merge, moe_prune, moe_upcycle
from solera.bench.arena import facts_of
from solera.bench.leaderboard import board
from solera.bench.records import BedRecord, RowRecord, Scored, append, read
from solera.bench.words import percent
from solera.checkpoints import open_checkpoint
from solera.cli.calibration import testbed_batches
from solera.evaluate.contract import Task
from solera.evaluate.scoring import headline, score
from solera.learn.statistics import Cut, collect, measure
from solera.learn.statistics.loading import load_model
from solera.learn.statistics.prompts import Prompts, router_rows
from solera.learn.statistics.streaming import load_streamed
from solera.types import ModelRef
from solera.version import __version__

HERE = Path(__file__).parent
BESIDE = HERE / "results" / "leaderboard" / "beside"
FIGURES = HERE / "results" / "moe.json"
PAGE = HERE.parent / "docs" / "moe.md"
KINDS = ["router_frequency", "router_gram", "expert_activation", "expert_output"]
SAMPLES = 48
"""Calibration examples of each task."""
GENERATED_AT = 4
GATES = ("hidden", "hidden_avg", "mlp_input", "cheap_embed", "random")


@dataclass(frozen=True)
class Try:
    """One method in one setting; `rows`: what becomes of the router."""

    name: str
    method: str
    parameters: dict[str, Any] = field(default_factory=dict)
    rows: Any = "mean"

    @property
    def prunes(self) -> bool:
        """Whether it leaves experts out."""
        return self.method == "reap"


TRIES = (
    Try("reap", "reap"),
    Try("frequency", "reap", {"score": "frequency"}),
    Try("ean_mean", "reap", {"score": "ean_mean"}),
    Try("m_smoe.every", "m_smoe", rows="every"),
    Try("hc_smoe.every", "hc_smoe", rows="every"),
    Try("m_smoe", "m_smoe"),
    Try("hc_smoe", "hc_smoe"),
    Try("m_smoe.leader", "m_smoe", rows="leader"),
    Try("hc_smoe.leader", "hc_smoe", rows="leader"),
    Try("hc_smoe.equal", "hc_smoe", {"weights": "equal"}, "every"),
    Try("m_smoe.unaligned", "m_smoe", {"align": False}, "every"),
    Try("m_smoe.global", "m_smoe", {"spread": "global"}, "every"),
)


@dataclass(frozen=True)
class Ground:
    """A model of a testbed, its tasks, and where its rows go."""

    built: Any
    model: Path
    bed: BedRecord
    tasks: tuple[Task, ...]
    records: Path

    def known(self) -> set[str]:
        """Entries that were measured."""
        return {row.entry for row in read(self.records).rows.values() if row.bed == self.bed.key}


def ground_of(built: Any, model: Path, variant: str, tasks: Sequence[Task], items: int, records: Path) -> Ground:
    """All tasks, or the first items of each; the whole model is what each is compared with."""
    if items:
        tasks = [
            replace(t, items=min(items, t.items), data=f"{t.data}:{items}", measure=t.part(range(min(items, t.items))))
            for t in tasks
            if t.part is not None
        ]
        variant = f"{variant}-{items}"
    tasks = tuple(replace(task, expert="whole", group="held-in") for task in tasks)
    bed = BedRecord(
        built.name, built.size, built.seed, built.digest, variant, tuple(map(facts_of, tasks)), ("whole",),
        open_checkpoint(str(model)).nbytes,
    )  # fmt: skip
    return Ground(built, model, bed, tasks, records)


def record_of(ground: Ground, entry: str, folder: Path, said: dict[str, Any], **more: Any) -> RowRecord:
    """Score a folder; the mean loss goes to the parameters."""
    from solera import testbeds

    scores = score(testbeds.load(ground.built, folder), str(folder), ground.tasks)
    found, losses = headline(scores, ground.tasks), [row.value for row in scores if row.metric == "loss"]
    values = tuple(Scored(found[task.name].value, found[task.name].each) for task in ground.tasks)
    bed = {key: getattr(ground.bed, key) for key in ("testbed", "size", "seed", "digest", "variant")}
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = {**said, **({"loss": round(sum(losses) / len(losses), 4)} if losses else {})}
    return RowRecord(
        **bed, entry=entry, mode="default", parameters=told, scores=values, solera=__version__, time=stamp, **more
    )


def statistics_of(ground: Ground, work: Path) -> Path:
    """Everything measured on the training inputs of all tasks; kept."""
    from solera.testbeds.language.sizes import sizes

    cut = Cut(SAMPLES, 16, 512)
    jobs = sizes(ground.built.size).jobs
    batches = [batch for task in jobs for batch in testbed_batches(ground.built, task, cut)]
    folder = work / f"statistics-{ground.built.size}-{ground.built.seed}-{ground.model.name}"
    measure(ModelRef(str(ground.model)), batches, KINDS, folder, data="training inputs of all tasks")
    return folder


def reduced(ground: Ground, one: Try, keep: int, statistics: Path, out: Path) -> ExpertReport:
    """Make the model with fewer experts."""
    wanted = ExpertMerge(str(ground.model), one.method, keep, statistics, one.parameters, one.rows)
    return (moe_prune if one.prunes else moe_merge)(wanted, out, force=True)


def measured(ground: Ground, tries: Sequence[tuple[Try, int]], work: Path) -> None:
    """Every row that is missing."""
    known = ground.known()
    if "experts" not in known:
        append(ground.records, [ground.bed, record_of(ground, "experts", ground.model, {}, memory=ground.bed.weights)])
        say(ground, "experts")
    wanted = [(one, keep) for one, keep in tries if f"{one.name}.{keep}" not in known]
    statistics = statistics_of(ground, work) if wanted else work
    for one, keep in wanted:
        with tempfile.TemporaryDirectory() as place:
            began, out = time.process_time(), Path(place) / "out"
            report = reduced(ground, one, keep, statistics, out)
            took = time.process_time() - began
            more = {"method": one.method, "version": 1, "model": report.digest, "seconds": round(took, 3)}
            said = {**one.parameters, "experts": keep, "rows": "mean" if one.prunes else one.rows}
            said |= {"bytes": report.bytes, "distinct": report.distinct}
            row = record_of(ground, f"{one.name}.{keep}", out, said, memory=report.distinct, **more)
        append(ground.records, [row])
        say(ground, row.entry, row)


def say(ground: Ground, entry: str, row: RowRecord | None = None) -> None:
    """One line of progress."""
    values = [] if row is None else [s.value for s in row.scores if s]
    mean = f"{100 * sum(values) / len(values):.2f}" if values else ""
    sys.stdout.write(f"{ground.bed.variant} seed {ground.bed.seed} {entry} {mean}\n")
    sys.stdout.flush()


def grounds(options: argparse.Namespace) -> Iterator[Ground]:
    """Both models of every seed."""
    from solera import testbeds
    from solera.testbeds.language.lm import generating_tasks

    for seed in map(int, options.seeds.split(",")):
        built = testbeds.open_built("moe-8", size=options.size, seed=seed, cache=options.cache)
        folders = {"mixtral": built.base, **built.extras}
        for name in options.models.split(","):
            tasks = generating_tasks(built, "test") if options.generated else testbeds.tasks(built, "test")
            variant = f"{name}-generated" if options.generated else name
            yield ground_of(
                built, folders[name], variant, tasks, options.items, options.records or BESIDE / "moe-8.jsonl"
            )


def tries_of(options: argparse.Namespace) -> list[tuple[Try, int]]:
    """What is asked for, the middle count first."""
    chosen = [one for one in TRIES if not options.only or one.name in options.only.split(",")]
    if options.generated:
        return [(one, GENERATED_AT) for one in chosen[:7]]
    counts = sorted(map(int, options.keep.split(",")), key=lambda keep: (keep != GENERATED_AT, -keep))
    return [(one, keep) for keep in counts for one in chosen]


def upcycled(options: argparse.Namespace) -> None:
    """Experts of lm-6 as one mixture, by every gate; the base, the experts and their average beside them."""
    from solera import testbeds
    from solera.bench.arena import TestbedSource
    from solera.bench.entries import Entry
    from solera.bench.measuring import measure as measure_entry
    from solera.bench.measuring import reference

    for seed in map(int, options.seeds.split(",")):
        arena = TestbedSource("lm-6", options.size, seed, folder=options.cache).open(None)
        arena.record = replace(arena.record, variant="upcycled")
        built = testbeds.open_built("lm-6", size=options.size, seed=seed, cache=options.cache)
        records = options.records or BESIDE / "lm-6-upcycled.jsonl"
        known = {row.entry for row in read(records).rows.values() if row.bed == arena.record.key}
        if "linear" not in known:
            append(records, [arena.record, reference(arena, "base"), reference(arena, "experts")])
            append(records, measure_entry(arena, Entry("linear", "linear"), ("default",)))
        for gate in GATES:
            if f"upcycle.{gate}" not in known:
                append(records, [_upcycled(arena, built, gate)])


def _upcycled(arena: Any, built: Any, gate: Any) -> RowRecord:
    from solera.testbeds.language.batches import examples
    from solera.testbeds.language.items import seeded
    from solera.testbeds.language.sizes import sizes

    jobs = sizes(built.size).jobs
    asked = {name: examples(jobs[name].asked, "train", 16, seeded(f"{built.seed}/prompts")) for name in built.experts}
    prompts = [Prompts(tuple(question for question, _ in asked[name])) for name in built.experts]
    rows = router_rows(ModelRef(str(built.base)), prompts, gate)
    with tempfile.TemporaryDirectory() as place:
        began, experts = time.process_time(), tuple(map(str, built.experts.values()))
        wanted = Upcycle(str(built.base), experts, {"gate": gate}, 2, rows)
        report = moe_upcycle(wanted, Path(place) / "out")
        took = time.process_time() - began
        module = load_model(ModelRef(str(Path(place) / "out")))
        tasks = arena.tasks["test"]
        found = headline(score(module, report.digest, tasks), tasks)
    bed = {key: getattr(arena.record, key) for key in ("testbed", "size", "seed", "digest", "variant")}
    values = tuple(Scored(found[t.name].value, found[t.name].each) for t in tasks)
    row = RowRecord(
        **bed, entry=f"upcycle.{gate}", mode="default", method="upcycle", version=1, parameters={"gate": gate},
        scores=values, model=report.digest, seconds=round(took, 3), memory=report.bytes, solera=__version__,
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )  # fmt: skip
    sys.stdout.write(f"upcycle.{gate} {100 * sum(v.value for v in values) / len(values):.2f}\n")
    return row


def peak(work: Path) -> None:
    """Memory and time on a random Mixtral of about 0.5 GB: measured whole and layer by layer, merged, pruned."""
    from solera.testing.models import build

    folder = work / "large"
    if not (folder / "config.json").exists():
        sizes = {"hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 8}
        build("mixtral", folder, layers=8, vocab=1000, head_dim=64, num_local_experts=8, **sizes)
    for name in ("forward", "whole", "streamed", "reap", "m_smoe"):
        subprocess.run([sys.executable, __file__, "--peak-of", name, "--work", str(work)], check=True)


def peak_of(name: str, work: Path) -> None:
    """One of them, in this process."""
    ref, statistics = ModelRef(str(work / "large")), work / "large-statistics"
    generator = torch.Generator().manual_seed(0)
    batches = [_ids(generator) for _ in range(2)]
    _warm(work)
    idle, began = _idle(), time.process_time()
    if name == "forward":
        module = load_model(ref)
        began = time.process_time()
        with torch.no_grad():
            for batch in batches:
                module(**batch.inputs, use_cache=False)
    elif name in ("whole", "streamed"):
        module = load_model(ref) if name == "whole" else load_streamed(ref)
        began = time.process_time()
        collect(module, batches, ["router_frequency", "router_gram", "expert_activation"])
    else:
        if not (statistics / "expert_activation.safetensors").exists():
            measure(ref, batches, KINDS[:3], statistics)
            _again(name, work)
            return
        began = time.process_time()
        run = moe_prune if name == "reap" else moe_merge
        with tempfile.TemporaryDirectory() as place:
            run(ExpertMerge(str(work / "large"), name, 4, statistics), Path(place) / "out")
    took = {"name": name, "above": _resident() - idle, "cpu_seconds": round(time.process_time() - began, 2)}
    opened = open_checkpoint(str(work / "large"))
    one = sum(s.spec.nbytes for n, s in opened.table.items() if ".0.block_sparse_moe.experts." in n)
    note({**took, "weights": opened.nbytes, "layer": one})
    sys.stdout.write(f"{name}: {took['above'] / 2**20:.0f} MiB above idle, {took['cpu_seconds']} s\n")


def _again(name: str, work: Path) -> None:
    """In a fresh process, whose memory has not held the model."""
    subprocess.run([sys.executable, __file__, "--peak-of", name, "--work", str(work)], check=True)


def _ids(generator: torch.Generator) -> Any:
    from solera.learn.statistics import Batch

    return Batch({"input_ids": torch.randint(1, 1000, (4, 64), generator=generator)})


def _warm(work: Path) -> None:
    """What every process holds: libraries, and a tiny model that is let go."""
    from solera.testing.models import build

    tiny = work / "tiny"
    if not (tiny / "config.json").exists():
        build("mixtral", tiny, layers=1)
    load_model(ModelRef(str(tiny)))(input_ids=torch.ones(1, 4, dtype=torch.int64))


def _resident(word: str = "VmHWM") -> int:
    """Peak of the memory held since it was last forgotten, or what is held now (VmRSS)."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(word))


def _idle() -> int:
    """What is held now; the peak starts anew."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", "utf-8")
    return _resident("VmRSS")


def figures() -> dict[str, Any]:
    """The file of times and memory."""
    return json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {"form": 1, "peaks": []}


def note(took: dict[str, Any]) -> None:
    """Add to the file of times and memory."""
    found = figures()
    left = [row for row in found["peaks"] if row["name"] != took["name"]]
    FIGURES.write_text(json.dumps({**found, "peaks": [*left, took]}, indent=1) + "\n", encoding="utf-8")


def tables(size: str) -> str:
    """What was measured, as Markdown."""
    found = read(BESIDE / "moe-8.jsonl", BESIDE / "lm-6-upcycled.jsonl")
    kinds = [("moe-8", f"{name}{more}") for more in ("", "-generated") for name in ("mixtral", "qwen3")]
    parts = [_table(found, bed, size, variant) for bed, variant in [*kinds, ("lm-6", "upcycled")]]
    return "\n\n".join([*([part for part in parts if part] or ["Not measured yet."]), _peaks()])


PEAKS = {
    "forward": "load, and run two batches",
    "whole": "the same, measuring what `m_smoe` and `reap` ask for",
    "streamed": "the same, one layer at a time",
    "reap": "prune 8 to 4",
    "m_smoe": "merge 8 to 4, neurons in order (the library that assigns them among it)",
}


def _peaks() -> str:
    """Memory and time on the larger random model."""
    found = {row["name"]: row for row in figures()["peaks"]}
    if not found:
        return ""
    one = next(iter(found.values()))
    size, layer = one["weights"] / 2**20, one["layer"] / 2**20
    head = f"A random Mixtral of {size:.0f} MiB, the experts of a layer {layer:.0f} MiB, one thread:"
    rows = [
        f"| {PEAKS[name]} | {row['above'] / 2**20:.0f} | {row['cpu_seconds']:.2f} |"
        for name, row in sorted(found.items(), key=lambda item: list(PEAKS).index(item[0]))
    ]
    return "\n".join([head, "", "| | MiB above idle | CPU s |", "|---|---|---|", *rows])


def _table(found: Any, bed: str, size: str, variant: str) -> str:
    made = board(found, bed, size, variant)
    if made is None:
        return ""
    rows = [f"**{variant}**", "", "| | held-in | loss | MB held | seeds |", "|---|---|---|---|---|"]
    for line in made.lines:
        said = next(iter(line.parameters.values()), {})
        loss = f"{said['loss']:.3f}" if "loss" in said else "–"
        held = f"{(said.get('distinct') or line.memory) / 1e6:.2f}" if line.memory else "–"
        rows.append(f"| `{line.name[0]}` | {percent(line.groups['held-in'])} | {loss} | {held} | {len(line.seeds)} |")
    return "\n".join(rows)


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
    parser.add_argument("--models", default="mixtral,qwen3")
    parser.add_argument("--keep", default="6,4,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--generated", action="store_true")
    parser.add_argument("--upcycled", action="store_true")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--records", type=Path, help="another file than that of the leaderboard")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "solera-moe")
    parser.add_argument("--peak", action="store_true")
    parser.add_argument("--peak-of", default="", help=argparse.SUPPRESS)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if options.items and (options.generated or options.upcycled):
        parser.error("--items is for the tasks of moe-8 with answers given")
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.peak_of:
        peak_of(options.peak_of, options.work)
        return
    if options.peak:
        peak(options.work)
    elif options.upcycled:
        upcycled(options)
    elif not options.page:
        for ground in grounds(options):
            measured(ground, tries_of(options), options.work)
    if PAGE.exists() and not (options.items or options.records):
        write_page(options.size)


if __name__ == "__main__":
    main()
