"""Methods that read statistics on the testbed vision-8, beside the average and what they stand on.

python benchmarks/informed.py [--size small] [--seeds 0,1,2] [--samples 256] [--cache FOLDER] [--out FOLDER] [--page]

Measures every expert on training images of its own task, merges all experts, chooses the setting on validation images
and scores test images. AIM goes around methods as they were tuned. Appends leaderboard records of the variant
`informed` to results/leaderboard/beside, from which the claim ledger is judged, and writes the table of
docs/statistics.md; a row that is there is not taken again, nor a statistic that lies in `--out`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import beside
import torch

from solera.bench.arena import Arena, made_from
from solera.cli.calibration import testbed_batches
from solera.learn.statistics import Cut, measure, measure_through_merged
from solera.recipe.values import Merge, Operand, Recipe, StepUse
from solera.testbeds.contract import Built

VARIANT = beside.Variant("vision-8", "informed")
PAGE = beside.DOCS / "statistics.md"
NORMALIZED = tuple({"normalize": how} for how in ("model", "none"))
SHARES = (0.1, 0.5, 0.9, 0.95, 1.0)
OMEGAS = (0.2, 0.4, 0.6)
BASE_KIND = "activation_norm"
STOOD_ON = ("task_arithmetic", "ties")
"""Methods without statistics that AIM goes around, tuned as on the leaderboards."""


@dataclass(frozen=True)
class Try:
    """One method: its settings, which statistic it reads and where that stands, or the row that AIM goes around."""

    entry: str
    method: str
    settings: tuple[Mapping[str, Any], ...]
    slot: str = ""
    kind: str = ""
    around: str = ""


def fisher(entry: str, kind: str) -> Try:
    """One kind of Fisher information."""
    return Try(entry, "fisher", NORMALIZED, "fisher", kind)


def aim(method: str, slot: str = "") -> Try:
    """AIM around a method."""
    return Try(f"{method}.aim", method, tuple({"omega": omega} for omega in OMEGAS), slot, slot, around=method)


ALL_SHARES = tuple({"off_diagonal": share} for share in SHARES)
TRIES = (
    fisher("fisher", "fisher"),
    Try("regmean", "regmean", ALL_SHARES, "gram", "gram"),
    Try("regmean_plus_plus", "regmean_plus_plus", ALL_SHARES, "merged_gram", "merged_gram"),
    aim("task_arithmetic"),
    aim("ties"),
    aim("regmean", "gram"),
    fisher("fisher.sampled", "sampled_fisher"),
    fisher("fisher.empirical", "empirical_fisher"),
)


def statistics(arena: Arena, built: Built, kind: str, out: Path, samples: int) -> None:
    """Measure one kind on all experts, or on the base; what lies in `out` is kept."""
    began, cut = time.process_time(), Cut(samples, 64)
    data = {task: testbed_batches(built, task, cut) for task in arena.experts}
    if kind == BASE_KIND:
        every = [batch for task in data.values() for batch in task]
        measure(arena.base, every, [kind], out / "base", data="all tasks")
    elif kind == "merged_gram":
        for share in SHARES:
            places = [out / task / f"merged-{share}" for task in arena.experts]
            refs, batches = list(arena.experts.values()), list(data.values())
            measure_through_merged(refs, batches, places, off_diagonal=share)
    else:
        for task, model in arena.experts.items():
            measure(model, data[task], [kind], out / task / kind, data=task, seed=arena.record.seed)
    sys.stdout.write(f"{kind}: {time.process_time() - began:.1f} s\n")


def place(one: Try, task: str, values: Mapping[str, Any], out: Path) -> Path:
    """Where the statistic of an expert lies."""
    if one.slot == "merged_gram":
        return out / task / f"merged-{values['off_diagonal']}"
    return out / task / one.kind / (f"{one.kind}.safetensors" if one.slot == "fisher" else "")


def recipe(arena: Arena, one: Try, values: Mapping[str, Any], out: Path) -> Recipe:
    """The merge of all experts."""
    models = tuple(
        Operand(model, statistics={one.slot: str(place(one, task, values, out))} if one.slot else {})
        for task, model in arena.experts.items()
    )
    parameters = {name: value for name, value in values.items() if name != "omega"}
    if not one.around:
        return Recipe(Merge(one.method, models, parameters=parameters))
    wrap = (StepUse("aim", {"omega": values["omega"]}),)
    on_base = {"*": str(out / "base")}
    return Recipe(Merge(one.method, models, base=arena.base, parameters=parameters, wrap=wrap, statistics=on_base))


def take(arena: Arena, built: Built, one: Try, out: Path, samples: int) -> None:
    """Measure what a method reads, choose its setting, file its row."""
    for kind in filter(None, (one.kind, BASE_KIND if one.around else "")):
        statistics(arena, built, kind, out, samples)
    given = dict(beside.filed(VARIANT, arena)[one.around, "tuned"].parameters) if one.around else {}
    settings = [{**given, **values} for values in one.settings]
    run = beside.of_one(arena, lambda values: made_from(recipe(arena, one, values, out)))
    beside.file(VARIANT, arena, beside.tuned(arena, one.entry, one.method, settings, run))


def run(size: str, seeds: Iterable[int], cache: Path | None, out: Path, samples: int) -> None:
    """Everything that is missing."""
    for seed in seeds:
        arena, built = beside.opened(VARIANT, size, seed, cache)
        beside.references(VARIANT, arena, STOOD_ON)
        there = beside.filed(VARIANT, arena)
        for one in TRIES:
            if (one.entry, "tuned") not in there:
                take(arena, built, one, out / f"{arena.record.digest[:8]}-{samples}", samples)


def page(size: str) -> str:
    """What was measured, as Markdown; nothing where nothing was."""
    found = VARIANT.board(size)
    if found is None:
        return ""
    left_out = {(name, "default") for name in STOOD_ON}
    shown = [line for line in found.lines if line.name not in left_out]
    rows = [[beside.label(line), *beside.groups(line), len(line.seeds), asks(line.name[0])] for line in shown]
    return beside.table(("", "held-in", "unseen", "damaged", "seeds", "reads"), rows)


def asks(entry: str) -> str:
    """Which statistics an entry reads, in words."""
    one = next((each for each in TRIES if each.entry == entry), None)
    return ", ".join(filter(None, (one.kind, f"{BASE_KIND} of the base" if one.around else ""))) if one else "–"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "solera-informed")
    parser.add_argument("--page", action="store_true", help="write the page only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.page:
        run(options.size, map(int, options.seeds.split(",")), options.cache, options.out, options.samples)
    beside.put(PAGE, page(options.size))


if __name__ == "__main__":
    main()
