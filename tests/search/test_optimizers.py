"""Optimizers: the same from the same seed, first the start, better with time, failures survived."""

from __future__ import annotations

import math

import pytest

from solera.errors import BadParameter
from solera.search.optimizers import NAMES, new
from solera.search.optimizers.contract import worst_of
from solera.search.space import Axis, Space

WANTED = (0.8, 0.3, 0.6)


def space_of(count, start=0.5):
    return Space(tuple(Axis(f"a{k}", start=start) for k in range(count)))


def distance(point):
    return math.dist(point, WANTED[: len(point)])


def losses(point, objectives):
    return (distance(point),) if objectives == 1 else (distance(point), -point[0])


def course(name, rounds, *, seed=0, count=3, broken=()):
    objectives = 2 if name == "nsga2" else 1
    made = new(name, space_of(count), seed=seed, objectives=objectives)
    points = []
    for number in range(rounds):
        asked = made.ask()
        assert len(asked) == made.population
        assert all(len(point) == count and all(0 <= place <= 1 for place in point) for point in asked)
        made.tell(asked, [None if number in broken or k == 1 else losses(p, objectives) for k, p in enumerate(asked)])
        points += asked
    return points


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_one_course(name):
    assert course(name, 3) == course(name, 3)
    assert course(name, 3) != course(name, 3, seed=1)


@pytest.mark.parametrize("name", NAMES)
def test_the_start_comes_first_and_failures_are_survived(name):
    points = course(name, 4, broken={1})
    assert points[0] == (0.5,) * 3


@pytest.mark.parametrize(("name", "within"), [("cmaes", 0.02), ("tpe", 0.15)])
def test_the_optimum_is_found(name, within):
    points = course(name, 200 // new(name, space_of(3)).population)
    assert min(map(distance, points)) < within


@pytest.mark.parametrize(("genes", "population"), [(6, 9), (14, 11)])
def test_population_of_cma_es(genes, population):
    assert new("cmaes", space_of(genes)).population == population


def test_one_gene_is_enough():
    points = course("cmaes", 12, count=1)
    assert min(map(distance, points)) < 0.02


def test_choices_of_optuna():
    space = Space((Axis("vote", start="b", kind="choice", choices=("a", "b", "c")), Axis("x")))
    made = new("tpe", space)
    for _ in range(5):
        asked = made.ask()
        made.tell(asked, [(float(space.at(point)[0] != "c"),) for point in asked])
    assert {space.at(point)[0] for point in asked} <= {"a", "b", "c"}


def test_a_study_is_kept_for_optuna(tmp_path):
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    made = new("random", space_of(2))
    made.tell(made.ask(), [(0.1,)] * made.population)
    made.keep(tmp_path / "study.journal", "search")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    assert len(optuna.load_study(study_name="search", storage=storage).trials) == made.population


def test_failed_candidates_are_worse_than_all():
    assert worst_of([None, (0.2,), (0.7,)], 1) == (1.7,)
    assert worst_of([None], 2) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("name", "more", "says"),
    [
        ("cma", {}, "did you mean `cmaes`"),
        ("cmaes", {"objectives": 2}, "one objective"),
        ("tpe", {"population": 0}, "population"),
    ],
)
def test_refusals(name, more, says):
    with pytest.raises(BadParameter, match=says):
        new(name, space_of(2), **more)
