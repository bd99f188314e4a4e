"""dare_linear, dare_ties, della, della_linear."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from solera.errors import BadParameter
from solera.methods.weights.dare import dare_linear, dare_ties
from solera.methods.weights.della import della, della_linear
from solera.methods.weights.task_arithmetic import task_arithmetic
from solera.methods.weights.ties import ties
from solera.ops.contract import Facts, Stack, run_whole
from solera.registry import build

CLOSE = {"rtol": 0, "atol": 1e-6}
ALL = {"dare_linear": dare_linear, "dare_ties": dare_ties, "della": della, "della_linear": della_linear}


def drawn(method, values, seed=0, leaf="w"):
    stack = Stack(torch.from_numpy(np.asarray(values, np.float32)))
    models = tuple(f"m{k}" for k in range(len(values)))
    return run_whole(method, stack, Facts(stack.values.shape[1:], leaf=leaf, models=models, seed=seed)).double().numpy()


def test_without_dropping_they_are_the_merges_beneath(three):
    weights = (0.6, 0.3, 0.4)
    added = three.on_deltas(task_arithmetic(weights))
    elected = three.on_deltas(ties(weights, 1.0, zero="plus"))
    np.testing.assert_allclose(three.on_deltas(dare_linear(weights, 1.0)), added, **CLOSE)
    np.testing.assert_allclose(three.on_deltas(della_linear(weights, 1.0)), added, **CLOSE)
    np.testing.assert_allclose(three.on_deltas(della(weights, 1.0)), elected, **CLOSE)
    np.testing.assert_allclose(three.on_deltas(dare_ties(weights, 1.0, zero="plus", top=1.0)), elected, **CLOSE)
    trimmed = three.on_deltas(ties(weights, 0.4))
    np.testing.assert_allclose(three.on_deltas(dare_ties(weights, 1.0, top=0.4)), trimmed, **CLOSE)


@pytest.mark.parametrize("name", ALL)
def test_mergekit_presets_keep_all_and_density_zero_keeps_nothing(three, name):
    want = task_arithmetic() if "linear" in name else ties(density=1.0, zero="plus", normalize=name == "della")
    np.testing.assert_allclose(three.on_deltas(build(name, {}, variant="mergekit")), three.on_deltas(want), **CLOSE)
    nothing = three.on_deltas(build(name, {"density": 0.0}, variant="mergekit"))
    np.testing.assert_allclose(nothing, three.base, rtol=0, atol=0)


def test_the_share_of_zeros_is_the_drop_rate():
    kept = drawn(dare_linear(density=0.3), np.ones((1, 100_000)))
    assert abs((kept != 0).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 100_000)
    np.testing.assert_allclose(kept[kept != 0], 1 / 0.3, rtol=1e-6)


@pytest.mark.parametrize(
    "method", [dare_linear(density=0.4), della_linear(density=0.4, epsilon=0.3)], ids=["dare", "della"]
)
def test_the_mean_over_seeds_is_the_task_vector(method):
    delta = np.random.default_rng(3).normal(0, 1, (1, 6, 8))
    mean = np.mean([drawn(method, delta, seed) for seed in range(600)], 0)
    np.testing.assert_allclose(mean, delta[0], atol=0.5)
    assert abs((mean / delta[0]).mean() - 1) < 0.02


@pytest.mark.parametrize("name", ALL)
def test_l1_keeps_the_sum_of_magnitudes_in_every_draw(name):
    delta = np.abs(np.random.default_rng(3).normal(0, 1, (1, 6, 8)))
    method = build(name, {"density": 0.5}, variant="mergekit")
    for seed in range(5):
        assert drawn(method, delta, seed).sum() == pytest.approx(delta.sum(), rel=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_without_rescaling_survivors_stay(name):
    delta = np.random.default_rng(3).normal(0, 1, (1, 6, 8)).astype(np.float32)
    got = drawn(ALL[name](density=0.5, rescale=False), delta)
    assert ((got == 0) | (got == delta[0])).all()


def test_a_mask_belongs_to_model_tensor_and_seed():
    values = np.ones((1, 1000))
    one = drawn(dare_linear(density=0.5), values)
    assert np.array_equal(one, drawn(dare_linear(density=0.5), values))
    assert not np.array_equal(one, drawn(dare_linear(density=0.5), values, seed=1))
    assert not np.array_equal(one, drawn(dare_linear(density=0.5), values, leaf="v"))
    both = drawn(dare_linear((1.0, 10.0), 0.5), np.ones((2, 1000)))
    assert np.array_equal(both % 20 % 10, one)


def test_dropping_comes_before_trimming():
    delta = np.random.default_rng(3).normal(0, 1, (1, 1000))
    got = drawn(dare_ties(density=0.5, top=0.2), delta)
    survivors = np.sort(np.abs(drawn(dare_linear(density=0.5), delta)))
    assert (got != 0).sum() == 200
    np.testing.assert_allclose(np.sort(np.abs(got[got != 0])), survivors[-200:], rtol=1e-6)


def test_large_changes_survive_more_often():
    delta = np.tile(np.linspace(0.1, 1, 10), (1, 4000, 1))
    kept = (drawn(della_linear(density=0.5, epsilon=0.4), delta) != 0).mean(0)
    np.testing.assert_allclose(kept, np.linspace(0.1, 0.9, 10), atol=0.04)


@pytest.mark.parametrize("method", [della, della_linear])
def test_windows_must_fit(method):
    with pytest.raises(BadParameter, match="`density` and `epsilon`"):
        method(density=0.05)
    with pytest.raises(BadParameter, match="`density` and `epsilon`"):
        method(density=(0.5, 0.9), epsilon=0.15)
