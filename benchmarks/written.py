"""What the best rows of a language leaderboard write by themselves: right answers, and their length.

python benchmarks/written.py [--top 10] [--seeds 0] [--size small] [--testbed lm-6] [--cache FOLDER]

The leaderboard scores answers with every earlier token given; here the first places, base, experts and the plain
average write them, greedily. Every merge is made again from the parameters of its row. Appends to
results/leaderboard/beside, from which `make leaderboard` shows two columns; a row that is there is not taken again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import beside
import torch

from solera import testbeds
from solera.app.swapping import load_into
from solera.bench.arena import Arena, facts_of, made_from, tensors_of
from solera.bench.entries import Entry
from solera.bench.leaderboard import AVERAGE, Board, Name, board
from solera.bench.measuring import BASE, EXPERTS
from solera.bench.recipes import recipe_for
from solera.bench.records import BedRecord, Mode, RowRecord, Scored, append, read
from solera.bench.written import ANSWERS, LENGTHS, ranked
from solera.evaluate import Score, model_digest, score
from solera.evaluate.contract import Task

METRICS = {ANSWERS: "answer", LENGTHS: "length"}
RECORDS = beside.FOLDER.parent

Found = Mapping[tuple[str, str], Score]
"""(task, metric) -> score."""


def wanted(of: Board, top: int) -> tuple[Name, ...]:
    """Base, experts, the average, and the first places."""
    best = [line.name for line in ranked(of)][:top]
    return tuple(dict.fromkeys([(EXPERTS, "default"), (BASE, "default"), AVERAGE, *best]))


def bed_of(arena: Arena, tasks: Iterable[Task], variant: str) -> BedRecord:
    """What rows of a variant are filed under. A length is shown as it is, and is no share of an expert's."""
    facts = tuple(map(facts_of, tasks))
    if variant == LENGTHS:
        facts = tuple(replace(task, metric=METRICS[LENGTHS], expert=None, higher=False) for task in facts)
    return replace(arena.record, variant=variant, tasks=facts)


def scores(arena: Arena, tensors: Mapping[str, torch.Tensor], tasks: Iterable[Task]) -> Found:
    """All metrics of a model in memory."""
    load_into(arena.module, tensors)
    digest = model_digest(tensors, arena.config)
    found = score(arena.module, digest, tasks, cache=arena.cache, seed=arena.record.seed)
    return {(row.task, row.metric): row for row in found}


def written(arena: Arena, row: RowRecord, tasks: tuple[Task, ...]) -> tuple[Found, str]:
    """What a row's model writes, and the model's digest; of the experts each its own tasks."""
    if row.entry == EXPERTS:
        each = {name: [task for task in tasks if task.expert == name] for name in arena.experts}
        own = [scores(arena, tensors_of(model), each[name]) for name, model in arena.experts.items()]
        return {key: found for one in own for key, found in one.items()}, ""
    if row.entry == BASE:
        return scores(arena, tensors_of(arena.base), tasks), ""
    entry = Entry(row.entry, row.method, row.how)
    made = made_from(recipe_for(entry, arena.base, list(arena.experts.values()), row.parameters, seed=row.seed))
    return scores(arena, made.tensors, tasks), made.digest


def rows(row: RowRecord, found: Found, model: str, arena: Arena, tasks: tuple[Task, ...]) -> Iterator[RowRecord]:
    """The row again under both variants, with the scores of what was written."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for variant, metric in METRICS.items():
        bed = bed_of(arena, tasks, variant)
        values = [found.get((task.name, metric)) for task in bed.tasks]
        scored = tuple(value and Scored(value.value, value.each) for value in values)
        yield replace(row, variant=variant, scores=scored, trials=(), model=model, time=stamp)


def run(testbed: str, size: str, seed: int, top: int, cache: Path | None) -> None:
    """Everything that is missing of one seed."""
    variant = beside.Variant(testbed, ANSWERS)
    of = board(read(RECORDS / f"{testbed}.jsonl"), testbed, size)
    if of is None:
        return
    arena, built = beside.opened(variant, size, seed, cache)
    tasks = testbeds.tasks(built, written=True)
    known = _latest(RECORDS / f"{testbed}.jsonl", (testbed, size, seed, arena.record.digest, "experts"))
    past = read(variant.path)
    append(variant.path, [bed for bed in (bed_of(arena, tasks, v) for v in METRICS) if bed.key not in past.beds])
    there = _latest(variant.path, bed_of(arena, tasks, LENGTHS).key)
    for name in wanted(of, top):
        row = known.get(name)
        if row is None or (name in there and there[name].parameters == row.parameters):
            continue
        found, model = written(arena, row, tasks)
        answers, lengths = rows(row, found, model, arena, tasks)
        beside.file(variant, replace(arena, record=bed_of(arena, tasks, ANSWERS)), answers)
        append(variant.path, [lengths])


def _latest(file: Path, bed: tuple[object, ...]) -> dict[tuple[str, Mode], RowRecord]:
    found = (row for row in read(file).rows.values() if row.bed == bed and not row.failed)
    return {(row.entry, row.mode): row for row in found}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--size", default="small")
    parser.add_argument("--testbed", default="lm-6")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in map(int, options.seeds.split(",")):
        run(options.testbed, options.size, seed, options.top, options.cache)


if __name__ == "__main__":
    main()
