"""ties in all its variants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from solera.errors import BadParameter
from solera.methods.weights.ties import ties
from solera.ops.contract import Facts, Stack, chain, run_steps, run_whole
from solera.registry import build
from solera.types import Scope

CLOSE = {"rtol": 0, "atol": 1e-6}


def reference(deltas, weights, density, *, variant="paper", normalize=True):
    """Trim, elect, average, with each source's own rules; one tensor is the whole model."""
    deltas = np.asarray(deltas, np.float64)
    size = deltas[0].size
    count = int(density * size)
    if variant == "mergekit" and density > 0:
        count = max(count, 1)
    kept = []
    for delta in deltas:
        ordered = np.sort(np.abs(delta), axis=None)
        place = size - count - (variant == "official")
        limit = np.inf if place == size else ordered[max(place, 0)]
        kept.append(np.where(np.abs(delta) >= limit, delta, 0) if density < 1 else delta)
    kept, weights = np.array(kept), np.array(weights).reshape(-1, *[1] * (deltas.ndim - 1))
    votes = (kept if variant == "peft" else kept * weights).sum(0)
    sign = np.sign(votes)
    if variant == "official":
        sign = np.where(sign == 0, 1.0 if sign.sum() > 0 else -1.0, sign)
    elif variant != "paper":
        sign = np.where(sign == 0, 1.0, sign)
    weighted = kept * weights
    agrees = np.sign(kept if variant == "peft" else weighted) * sign > 0
    below = (agrees * weights).sum(0) if variant in ("paper", "mergekit") else agrees.sum(0)
    added = np.where(agrees, weighted, 0).sum(0)
    return added / np.where(np.abs(below) <= 1e-8, 1, below) if normalize else added


def test_golden(golden):
    plus_one = [[1.325, 2.45, 2.65], [4, 5.3, 5.64]]
    exact = [[1.325, 2.45, 2.65], [4, 5.3, 5.5]]
    np.testing.assert_allclose(golden.on_deltas(build("ties", {"density": 0.5}, variant="official")), plus_one, **CLOSE)
    np.testing.assert_allclose(golden.on_deltas(build("ties", {"density": 0.5}, variant="mergekit")), exact, **CLOSE)
    np.testing.assert_allclose(golden.on_deltas(ties(density=0.5)), exact, **CLOSE)


@pytest.mark.parametrize("variant", ["paper", "official", "mergekit", "peft"])
@pytest.mark.parametrize("density", [0.05, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("normalize", [True, False])
def test_equals_numpy(three, variant, density, normalize):
    weights = (1.0, 1.0, 1.0) if variant == "official" else (0.6, 0.3, 0.45)
    method = build("ties", {"weight": weights, "density": density, "normalize": normalize}, variant=variant)
    want = reference(three.deltas, weights, density, variant=variant, normalize=normalize)
    np.testing.assert_allclose(three.on_deltas(method), three.base + want, **CLOSE)


def test_lambda_and_densities_per_model(three):
    method = build("ties", {"density": (0.3, 0.6, 1.0), "lambda": 0.7}, variant="mergekit")
    kept = np.array([reference(three.deltas[[k]], (1,), d, variant="mergekit") for k, d in enumerate((0.3, 0.6, 1.0))])
    want = three.base + 0.7 * reference(kept, (1, 1, 1), 1.0, variant="mergekit")
    np.testing.assert_allclose(three.on_deltas(method), want, **CLOSE)


def test_an_even_vote():
    values = torch.tensor([[1.0, 2.0, -3.0], [-1.0, 2.0, -3.0]])

    def run(**given):
        return run_whole(ties(density=1.0, **given), Stack(values), Facts((3,))).tolist()

    assert run() == [0.0, 2.0, -3.0]
    assert run(zero="plus") == [1.0, 2.0, -3.0]
    assert run(zero="majority") == [-1.0, 2.0, -3.0]
    assert run_whole(ties(density=1.0, zero="majority"), Stack(values[:, :2]), Facts((2,))).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(("variant", "want"), [("mergekit", 1.0), ("peft", 1.0), ("official", -1.0), ("paper", 0.0)])
def test_an_even_vote_in_each_variant(variant, want):
    values = torch.tensor([[1.0, -3.0, -3.0], [-1.0, -3.0, -3.0]])
    method = build("ties", {"density": 1.0}, variant=variant)
    assert run_whole(method, Stack(values), Facts((3,))).tolist() == [want, -3.0, -3.0]


def test_votes_by_count_and_by_mass():
    values = torch.tensor([[3.0], [-1.0], [-1.0]])
    assert run_whole(ties(density=1.0), Stack(values), Facts((1,))).tolist() == [3.0]
    assert run_whole(ties(density=1.0, vote="count"), Stack(values), Facts((1,))).tolist() == [-1.0]


def test_weights_inside_and_outside_the_election():
    values = torch.tensor([[3.0], [-2.0]])
    inside, outside = ties((1.0, 2.0), 1.0), ties((1.0, 2.0), 1.0, weighted_vote=False, divide="count")
    assert run_whole(inside, Stack(values), Facts((1,))).tolist() == [-2.0]
    assert run_whole(outside, Stack(values), Facts((1,))).tolist() == [3.0]


def test_equal_magnitudes_at_the_threshold_all_stay():
    values = torch.tensor([[1.0, -1.0, 1.0, 0.5, 2.0]])
    assert run_whole(ties(density=0.4), Stack(values), Facts((5,))).tolist() == [1.0, -1.0, 1.0, 0.0, 2.0]


def test_small_shares_keep_nothing_or_one():
    values = torch.tensor([[1.0, -2.0, 0.5]])
    assert run_whole(ties(density=0.1), Stack(values), Facts((3,))).tolist() == [0.0, 0.0, 0.0]
    one = build("ties", {"density": 0.1}, variant="mergekit")
    assert run_whole(one, Stack(values), Facts((3,))).tolist() == [0.0, -2.0, 0.0]
    none = build("ties", {"density": 0.0}, variant="mergekit")
    assert run_whole(none, Stack(values), Facts((3,))).tolist() == [0.0, 0.0, 0.0]


def test_rescaling_restores_the_sum_of_magnitudes(three):
    method = build("ties", {"density": 0.4, "rescale": True, "weight": (1.0, 0.0, 0.0)}, variant="mergekit")
    got = three.on_deltas(method) - three.base
    if three.base.size > 1:
        assert np.abs(got).sum() == pytest.approx(np.abs(three.deltas[0]).sum(), rel=1e-5)


def test_the_whole_model_is_one_vector():
    """Thresholds and majorities span tensors: two leaves give what their concatenation gives."""
    rng = np.random.default_rng(2)
    parts = [rng.normal(0, s, (2, n)).astype(np.float32) for s, n in ((1.0, 40), (0.1, 25), (2.0, 7))]
    parts[0][1, :5] = -parts[0][0, :5]
    for variant in ("paper", "official"):
        method = build("ties", {"density": 0.6}, variant=variant)
        leaves = [(Stack(torch.from_numpy(p)), Facts((p.shape[1],), leaf=f"l{k}")) for k, p in enumerate(parts)]
        got = np.concatenate([v.numpy() for v in run_population(method, leaves)])
        want = reference(np.concatenate(parts, 1), (1, 1), 0.6, variant=variant)
        np.testing.assert_allclose(got, want, **CLOSE)


def run_population(method, leaves):
    for i, step in enumerate(method.steps):
        found = None
        if step.summary is not None:
            assert step.summary.scope is Scope.POPULATION
            for round_ in range(step.summary.rounds):
                state = step.summary.init(round_, found)
                for stack, facts in leaves:
                    state = step.summary.add(state, stack, replace(facts, step=i))
                found = step.summary.finish(round_, state)
        leaves = [(run_steps([step], stack, facts, [found]), facts) for stack, facts in leaves]
    return [stack.values[0] for stack, _ in leaves]


def test_one_model_with_everything_kept_is_the_scaled_task_vector(three):
    got = three.on_deltas(ties((0.0, 1.0, 0.0), 1.0, 0.25))
    np.testing.assert_allclose(got, three.base + 0.25 * three.deltas[1], **CLOSE)


def test_flipping_all_signs_flips_the_update(three):
    method = chain(ties(density=0.5))
    there = three.on_deltas(method) - three.base
    back = replace(three, deltas=-three.deltas).on_deltas(method) - three.base
    np.testing.assert_allclose(there, -back, **CLOSE)


def test_bad_shares_are_refused():
    with pytest.raises(BadParameter, match="`density`"):
        ties(density=20)
    with pytest.raises(BadParameter, match="`density` has the wrong number"):
        run_whole(ties(density=(0.5, 0.5)), Stack(torch.ones(3, 2)), Facts((2,)))
