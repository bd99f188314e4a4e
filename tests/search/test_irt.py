"""Item response models: worked numbers, the fit, anchors, and estimators that beat a plain mean."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from solera.errors import BadParameter
from solera.search.contract import Outcome
from solera.search.irt.anchors import Anchors, choose
from solera.search.irt.estimators import NAMES, ability, estimate, mixture, p_irt
from solera.search.irt.response import Items, fit
from solera.search.irt.scoring import calibrate


def bank(seed=0, models=60, items=300, dimensions=3):
    """True items, abilities and drawn answers."""
    draw = np.random.default_rng(seed)
    true = Items(np.abs(draw.normal(0, 1.2, (dimensions, items))), draw.normal(0, 1.2, items))
    abilities = draw.normal(0, 1, (models, dimensions))
    return draw, true, abilities, (draw.random((models, items)) < true.right(abilities)).astype(float)


def test_probability_of_the_paper():
    assert Items(np.array([[2.0]]), np.array([0.3])).right(np.array([0.5]))[0] == pytest.approx(0.668188, abs=5e-7)
    assert Items(np.array([[1e9]]), np.zeros(1)).right(np.ones(1))[0] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_all_items_asked_is_the_accuracy(name):
    _, true, abilities, answers = bank(items=40)
    whole = Anchors(tuple(range(40)), (1 / 40,) * 40, 40)
    assert estimate(name, answers[0], whole, true, abilities[:3]) == pytest.approx(answers[0].mean())


def test_items_that_say_nothing_are_even():
    flat = Items(np.zeros((2, 10)), np.zeros(10))
    assert estimate("p-irt", np.ones(4), Anchors((0, 3, 5, 7), (0.25,) * 4, 10), flat) == pytest.approx(0.4 + 0.6 * 0.5)


def test_one_parent_alone_is_its_own_ability():
    _, true, abilities, answers = bank()
    anchors = choose(true, 30)
    told = answers[0][list(anchors.places)]
    one_hot = np.array([1.0, 0.0]) @ abilities[:2]
    assert p_irt(told, anchors, true, one_hot) == p_irt(told, anchors, true, abilities[0])


@pytest.mark.parametrize("name", NAMES)
def test_more_right_answers_are_never_a_lower_estimate(name):
    """With one ability; with several, a right answer may move weight from one ability to another."""
    _, true, abilities, _ = bank(dimensions=1)
    anchors = choose(true, 12, seed=1)
    strong = np.abs(abilities[:3])
    told = [estimate(name, np.repeat([1.0, 0.0], [k, 12 - k]), anchors, true, strong) for k in range(13)]
    assert all(a <= b + 1e-6 for a, b in pairwise(told))


def test_halves():
    _, true, abilities, answers = bank()
    anchors = choose(true, 20)
    told = answers[5][list(anchors.places)]
    whole = {name: estimate(name, told, anchors, true, abilities[:3]) for name in NAMES}
    assert whole["gp-irt"] == pytest.approx((whole["mean"] + whole["p-irt"]) / 2)
    assert whole["gmp-irt"] == pytest.approx((whole["mean"] + whole["mp-irt"]) / 2)


def test_fit_finds_items_and_abilities():
    _, true, abilities, answers = bank(models=120, dimensions=1)
    fitted = fit(answers)
    assert np.corrcoef(fitted.items.difficulty, true.difficulty)[0, 1] > 0.9
    assert np.corrcoef(fitted.abilities[:, 0], abilities[:, 0])[0, 1] > 0.9
    again = fit(answers)
    np.testing.assert_array_equal(fitted.abilities, again.abilities)


def test_answers_that_are_missing_are_left_out():
    _, _, _, answers = bank(models=40, dimensions=1)
    holes = answers.copy()
    holes[np.random.default_rng(0).random(holes.shape) < 0.3] = np.nan
    assert np.corrcoef(fit(holes).abilities[:, 0], fit(answers).abilities[:, 0])[0, 1] > 0.95


def test_mixtures_of_parents_are_found():
    _, true, abilities, _ = bank(items=2000)
    shares = np.array([0.7, 0.4])
    told = true.right(shares @ abilities[:2])
    np.testing.assert_allclose(mixture(told, true, abilities[:2]), shares, atol=0.02)
    np.testing.assert_allclose(
        ability(told, true) @ true.discrimination, (shares @ abilities[:2]) @ true.discrimination, atol=0.2
    )


@pytest.mark.parametrize("count", [20, 50])
def test_estimates_beat_the_mean_of_random_items(count):
    """Children's abilities are mixtures of their parents' with noise; items are fitted on other models' answers."""
    draw, true, abilities, answers = bank(seed=1)
    fitted = fit(answers, dimensions=3)
    errors = {name: [] for name in NAMES}
    for child in range(60):
        parents = draw.choice(len(answers), 3, replace=False)
        theta = draw.dirichlet(np.ones(3)) @ abilities[parents] * 1.2 + 0.1 * draw.normal(size=3)
        whole = (draw.random(len(true)) < true.right(theta)).astype(float)
        anchors = choose(fitted.items, count, seed=child)
        told = whole[list(anchors.places)]
        for name in NAMES:
            errors[name].append(
                abs(estimate(name, told, anchors, fitted.items, fitted.abilities[parents]) - whole.mean())
            )
    means = {name: np.mean(each) for name, each in errors.items()}
    assert all(means[name] < 0.97 * means["mean"] for name in NAMES[1:]), means


def test_anchors():
    _, true, _, _ = bank()
    for how in ("random", "clusters"):
        anchors = choose(true, 15, how=how, seed=2)
        assert sum(anchors.weights) == pytest.approx(1.0)
        assert list(anchors.places) == sorted(set(anchors.places))
        assert anchors == choose(true, 15, how=how, seed=2)
        assert set(anchors.places).isdisjoint(anchors.unseen)
    with pytest.raises(BadParameter, match="--items"):
        choose(true, 301)


def test_several_tasks_share_an_ability():
    _, _, _, answers = bank(items=100)
    each = [{"a": row[:60], "b": row[60:]} for row in answers]
    made = calibrate("gmp-irt", each, 3, 10, dimensions=2)
    outcome = Outcome({}, each={task: tuple(each[4][task][list(made.anchors[task].places)]) for task in ("a", "b")})
    told = made.of(outcome)
    assert set(told) == {"a", "b"}
    assert all(0 <= value <= 1 for value in told.values())


@pytest.mark.parametrize(
    ("answers", "dimensions"),
    [(np.ones((1, 3)), 1), (np.ones((2, 0)), 1), (np.full((2, 3), 1.5), 1), (np.ones((2, 3)), 0)],
)
def test_answers_that_cannot_be_fitted(answers, dimensions):
    with pytest.raises(BadParameter):
        fit(answers, dimensions=dimensions)


def test_refusals():
    with pytest.raises(BadParameter, match="did you mean `p-irt`"):
        calibrate("p-itr", [{"a": [1.0]}], 1, 1, dimensions=1)
    _, true, abilities, answers = bank(items=20)
    anchors = choose(true, 5)
    with pytest.raises(BadParameter, match="parents"):
        estimate("mp-irt", answers[0][list(anchors.places)], anchors, true)
    with pytest.raises(BadParameter, match="two parents"):
        mixture(answers[0], true, abilities[:1])
