"""Methods that lose to plain averaging: is it the length of the merged change, its direction, or the number of experts?

python benchmarks/below_average.py [--seeds 0,1,2] [--beds vision-8,text-6,lm-6] [--page]

For each method, of all experts of a testbed: score with defaults; length of its change over that of the average's; and
the score of the same change stretched or shrunk to the average's length. Then of two experts at a time, as such methods
are mostly meant. Scores are shares of what the experts have on their own tasks. Appends to
results/below_average.jsonl, where a row that is there is not taken again, and writes the table of
docs/below-average.md.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from solera.bench.arena import Arena, TestbedSource, made_from, tensors_of
from solera.bench.entries import Entry, field_of
from solera.bench.measuring import normalised
from solera.bench.recipes import recipe_for
from solera.types import ModelRef

HERE = Path(__file__).parent
RECORDS, PAGE = HERE / "results" / "below_average.jsonl", HERE.parent / "docs" / "below-average.md"
METHODS = (
    "linear", "slerp", "multislerp", "nuslerp", "opcm", "model_stock", "nearswap", "arcee_fusion", "cabs", "fr_merging",
    "wma", "ema", "median", "geometric_median",
)  # fmt: skip
Row = dict[str, Any]


def entry_of(method: str) -> Entry:
    """As the leaderboard runs it."""
    return field_of(8, based=True, methods=[method]).entries[0]


def merged(arena: Arena, entry: Entry, experts: Sequence[ModelRef]) -> Mapping[str, Tensor]:
    """Tensors of one merge with defaults."""
    return made_from(recipe_for(entry, arena.base, experts, {}, seed=arena.record.seed)).tensors


def length(change: Mapping[str, Tensor]) -> float:
    """Of all tensors together, in the Frobenius norm."""
    return math.sqrt(math.fsum(float(value.double().square().sum()) for value in change.values()))


def less(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Left - right, in float32."""
    return {name: value.float() - right[name].float() for name, value in left.items() if value.is_floating_point()}


def scored(arena: Arena, tensors: Mapping[str, Tensor], names: Sequence[str]) -> float:
    """Mean share of the experts' own scores over the held-in tasks of some experts."""
    tasks = tuple(t for t in arena.tasks["test"] if t.expert in names and t.group == "held-in")
    own, found = arena.expert_values("test"), arena.scores(tensors, tasks)
    return fmean(normalised(row.value, own.get(name), higher=row.higher) for name, row in found.items())


def of_all(arena: Arena, method: str, base: Mapping[str, Tensor], average: float) -> Row:
    """All experts at once."""
    tensors = merged(arena, entry_of(method), list(arena.experts.values()))
    change = less(tensors, base)
    own = length(change)
    same = {**tensors, **{n: (base[n].float() + c * (average / own)).to(tensors[n].dtype) for n, c in change.items()}}
    names = list(arena.experts)
    return {"score": scored(arena, tensors, names), "length": own / average, "same": scored(arena, same, names)}


def of_pairs(arena: Arena, method: str) -> Row:
    """Two experts at a time: 1st with 2nd, 3rd with 4th."""
    names = list(arena.experts)
    pairs = [(names[k], names[k + 1]) for k in range(0, len(names) - 1, 2)]
    found = [scored(arena, merged(arena, entry_of(method), [arena.experts[n] for n in pair]), pair) for pair in pairs]
    return {"pairs": fmean(found)}


def rows(bed: str, seed: int, known: set[tuple[str, str, int]]) -> Iterator[Row]:
    """Everything of one testbed that is missing."""
    missing = [method for method in METHODS if (bed, method, seed) not in known]
    if not missing:
        return
    arena = TestbedSource(bed, "small", seed).open(None)
    assert arena.base is not None
    base = tensors_of(arena.base)
    average = length(less(merged(arena, entry_of("linear"), list(arena.experts.values())), base))
    for method in missing:
        yield {
            "bed": bed, "method": method, "seed": seed,
            **of_all(arena, method, base, average), **of_pairs(arena, method),
        }  # fmt: skip


def table(found: Sequence[Row]) -> str:
    """Means over seeds, in percent, beside the average's."""
    lines = ["| testbed | method | score | length | at the average's length | two at a time | seeds |",
             "|---|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for bed in dict.fromkeys(row["bed"] for row in found):
        for method in METHODS:
            mine = [row for row in found if (row["bed"], row["method"]) == (bed, method)]
            if mine:
                cells = [fmean(row[key] for row in mine) for key in ("score", "length", "same", "pairs")]
                score, stretch, same, pairs = cells
                lines.append(
                    f"| {bed} | `{method}` | {100 * score:.1f} | {stretch:.2f} | {100 * same:.1f} | {100 * pairs:.1f} "
                    f"| {len(mine)} |"
                )
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--beds", default="vision-8,text-6,lm-6")
    parser.add_argument("--page", action="store_true", help="only the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.exists() else []
    known = {(row["bed"], row["method"], row["seed"]) for row in found}
    for bed in () if options.page else options.beds.split(","):
        for seed in map(int, options.seeds.split(",") if bed == "vision-8" else ["0"]):
            for row in rows(bed, seed, known):
                with RECORDS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                found.append(row)
    head, _, rest = PAGE.read_text("utf-8").partition("<!-- measured -->\n")
    after = rest.partition("<!-- end -->")[2]
    PAGE.write_text(f"{head}<!-- measured -->\n{table(found)}\n<!-- end -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
