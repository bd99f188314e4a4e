"""Objectives, fronts, parts of tasks, races."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.errors import BadParameter, UnknownName
from solera.evaluate.contract import Task
from solera.search.contract import Outcome
from solera.search.items import part_of, rounds
from solera.search.objectives import dominates, front, hypervolume, objective, values_of
from solera.search.racing import Race, capped, run_race

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


def test_objectives():
    scores = {"a": 0.5, "b": 1.0, "c": 0.0}
    assert [objective(text, list(scores)).of(scores) for text in ("mean", "worst", "b", "a+b")] == [0.5, 0.0, 1.0, 0.75]
    assert values_of([objective("mean", list(scores))], {**scores, "a": math.nan}) is None
    with pytest.raises(UnknownName, match="did you mean `worst`"):
        objective("wurst", ["a"])


@given(ROWS)
def test_a_front_is_what_nothing_dominates(rows):
    kept = [rows[k] for k in front(rows)]
    assert not any(dominates(one, two) for one in kept for two in kept)
    assert all(row in kept or any(dominates(one, row) for one in kept) for row in rows)


@given(ROWS)
def test_hypervolume_counts_cells(rows):
    cells = sum(any(x < a and y < b for a, b in rows) for x in range(6) for y in range(6))
    assert hypervolume(rows, (0, 0)) == cells


def test_hypervolume_of_three():
    assert hypervolume([(1.0, 1.0, 2.0), (2.0, 1.0, 1.0)], (0.0, 0.0, 0.0)) == 3.0
    assert hypervolume([(0.0, 1.0)], (0.0, 0.0)) == 0.0


def test_parts_of_tasks():
    asked = []
    parted = Task(
        "t",
        "d",
        3,
        "m",
        lambda _: {"m": [1.0, 2.0, 3.0]},
        part=lambda places: asked.append(places) or (lambda _: {"m": [9.0]}),
    )
    assert part_of(parted, [1]).measure(None) == {"m": [9.0]}
    assert asked == [(1,)]
    assert part_of(parted, [1]).data != part_of(parted, [2]).data != parted.data


@pytest.mark.parametrize("shares", [(), (0.5, 0.2), (0.0, 1.0), (0.5, 1.2), (0.5, 0.51)])
def test_rounds_that_are_none(shares):
    with pytest.raises(BadParameter):
        rounds({"t": 10}, shares, 0)


def test_a_race_scores_everything_of_what_stays_and_little_of_the_rest():
    items = rounds({"t": 8}, (0.25, 0.5, 1.0), seed=1)
    counts = tuple({"t": len(each["t"])} for each in items)
    race = Race(("0", "1", "2"), counts)
    asked = []

    def score(genomes, name):
        asked.append(len(genomes))
        return [
            Outcome({"t": genome[0] + int(name)}, counts[int(name)]["t"])
            if genome[0] >= 0
            else Outcome({}, failed="no")
            for genome in genomes
        ]

    runs = run_race(
        race, [(0.1,), (-1.0,), (0.4,), (0.3,), (0.2,)], score, lambda o: -math.inf if o.failed else o.scores["t"]
    )
    assert asked == [5, 3, 2]
    assert [run.reached for run in runs] == [0, 0, 2, 2, 1]
    assert runs[2].outcome.items == 8
    assert runs[2].outcome.scores["t"] == pytest.approx(0.4 + (0 * 2 + 1 * 2 + 2 * 4) / 8)
    assert runs[1].outcome.failed
    with pytest.raises(BadParameter, match="--keep"):
        Race(keep=1.0)


def test_who_leaves_early_is_told_as_no_better_than_who_stays():
    assert capped([0.9, 0.5, 0.6, None, 0.2], [0, 1, 2, 0, 1]) == [0.2, 0.5, 0.6, None, 0.2]
