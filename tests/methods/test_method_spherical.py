"""slerp, nuslerp, multislerp, karcher, against the same written on the vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from solera.errors import BadParameter
from solera.methods.weights.karcher import karcher
from solera.methods.weights.linear import linear
from solera.methods.weights.multislerp import multislerp
from solera.methods.weights.nuslerp import nuslerp
from solera.methods.weights.slerp import slerp
from solera.ops.contract import Facts, Stack, as_stack, run_whole
from solera.registry import build

CLOSE = {"rtol": 0, "atol": 2e-6}


def arc(a, b, t, lerp_above=1.0):
    """Interpolate between two arrays as vectors."""
    product = np.linalg.norm(a) * np.linalg.norm(b)
    cosine = np.clip((a * b).sum() / product, -1, 1) if product else 0.0
    omega = math.acos(cosine)
    if abs(cosine) > lerp_above or math.sin(omega) < 1e-6:
        return (1 - t) * a + t * b
    return (math.sin((1 - t) * omega) * a + math.sin(t * omega) * b) / math.sin(omega)


def test_slerp_golden(golden):
    want = [[1.326737, 2.127786, 2.878769], [4.030276, 5.081653, 5.647393]]
    np.testing.assert_allclose(golden.on_weights(slerp(t=0.5)), want, **CLOSE)
    stack = as_stack(torch.tensor([0.0, 2.0]), base=torch.tensor([1.0, 0.0]))
    np.testing.assert_allclose(run_whole(slerp(t=0.5), stack, Facts((2,))), [0.707107, 1.414214], **CLOSE)
    np.testing.assert_allclose(run_whole(slerp(t=0.25), stack, Facts((2,))), [0.92388, 0.765367], **CLOSE)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_slerp_equals_numpy_from_the_base_and_between_models(two, t):
    first = two.on_weights(slerp(t=t), base=True, picked=[1])
    np.testing.assert_allclose(first, arc(two.base, two.models[1], t), **CLOSE)
    np.testing.assert_allclose(two.on_weights(slerp(t=t)), arc(*two.models, t), **CLOSE)
    assert np.array_equal(two.on_weights(slerp(t=t)), two.on_weights(slerp(t=t), base=True))
    if t in (0, 1):
        assert np.array_equal(two.on_weights(slerp(t=t)), two.on_weights(linear(), picked=[int(t)]))


def test_slerp_of_one_model_is_that_model(two):
    assert np.array_equal(two.on_weights(slerp(t=0.3), picked=[0]), two.on_weights(linear(), picked=[0]))


def test_close_models_take_the_chord_under_mergekit_only():
    rng = np.random.default_rng(1)
    a = torch.from_numpy(rng.normal(size=5000).astype(np.float32))
    b = a + 0.02 * torch.from_numpy(rng.normal(size=5000).astype(np.float32))
    stack, facts = as_stack(a, b), Facts((5000,))
    chord = 0.7 * a + 0.3 * b
    torch.testing.assert_close(run_whole(build("slerp", {"t": 0.3}, variant="mergekit"), stack, facts), chord)
    exact = run_whole(slerp(t=0.3), stack, facts).double().numpy()
    np.testing.assert_allclose(exact, arc(a.double().numpy(), b.double().numpy(), 0.3), atol=1e-6)
    assert np.abs(exact - chord.numpy()).max() > 1e-5


def test_slerp_scales_with_its_operands(golden):
    stack = Stack(torch.from_numpy(golden.models.astype(np.float32)))
    small = run_whole(slerp(t=0.3), Stack(stack.values * 0.125), Facts((2, 3)))
    torch.testing.assert_close(small * 8, run_whole(slerp(t=0.3), stack, Facts((2, 3))), rtol=0, atol=0)


def test_nuslerp_golden(golden):
    want = [[1.442382, 2.170147, 2.829853], [4.034029, 5.102088, 5.509976]]
    np.testing.assert_allclose(golden.on_deltas(nuslerp()), want, **CLOSE)


@pytest.mark.parametrize("weight", [(0.6, 0.2), (1.0, -1.0), (0.0, 1.0)])
def test_nuslerp_equals_numpy(two, weight):
    t = 0.5 if abs(sum(weight)) < 1e-6 else weight[1] / sum(weight)
    np.testing.assert_allclose(two.on_weights(nuslerp(weight)), arc(*two.models, t), **CLOSE)
    np.testing.assert_allclose(two.on_deltas(nuslerp(weight)), two.base + arc(*two.deltas, t), **CLOSE)


@pytest.mark.parametrize("row_wise", [False, True])
def test_nuslerp_vector_by_vector(two, row_wise):
    axis = 0 if row_wise else -1
    a, b = (np.moveaxis(np.atleast_1d(x), axis, -1) for x in two.deltas)
    flat = [arc(u, v, 0.25) for u, v in zip(a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1]), strict=True)]
    want = np.moveaxis(np.array(flat).reshape(a.shape), -1, axis).reshape(two.base.shape)
    got = two.on_deltas(nuslerp((0.75, 0.25), flatten=False, row_wise=row_wise))
    np.testing.assert_allclose(got, two.base + want, **CLOSE)


def test_nuslerp_needs_two_weights():
    with pytest.raises(BadParameter, match="`weight`"):
        nuslerp((0.1, 0.2, 0.3))


def test_multislerp_golden(golden):
    want = [[1.43873, 2.190051, 2.815971], [4.035601, 5.088738, 5.51745]]
    np.testing.assert_allclose(golden.on_deltas(multislerp()), want, **CLOSE)


def step_along_mean_tangent(arrays, weights, eps=1e-8):
    """The method as mergekit words it: mean direction, tangents, exponential map."""
    norms = np.array([np.linalg.norm(x) for x in arrays])
    units = np.array([x / (n + eps) for x, n in zip(arrays, norms, strict=True)])
    mean = np.tensordot(weights, units, 1)
    mean = mean / np.linalg.norm(mean)
    tangents = np.array([u - (u * mean).sum() * mean for u in units])
    step = np.tensordot(weights, tangents, 1)
    length = np.linalg.norm(step) + eps
    return (mean * math.cos(length) + step * math.sin(length) / length) * (weights @ norms)


@pytest.mark.parametrize(("normalize", "eps"), [(True, 1e-8), (False, 1e-8), (False, 1e-3), (True, 0.05)])
def test_multislerp_equals_the_long_form(three, normalize, eps):
    weights = np.array([0.5, 0.3, 0.4])
    used = weights / weights.sum() if normalize else weights
    parameters = {"weight": tuple(weights), "normalize_weights": normalize, "eps": eps}
    got = three.on_deltas(build("multislerp", parameters, variant="mergekit"))
    np.testing.assert_allclose(got, three.base + step_along_mean_tangent(three.deltas, used, eps), **CLOSE)
    on_models = three.on_weights(multislerp(tuple(weights), normalize_weights=normalize))
    np.testing.assert_allclose(on_models, step_along_mean_tangent(three.models, used), **CLOSE)


def test_multislerp_of_cancelling_directions_is_the_weighted_sum():
    values = torch.tensor([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    got = run_whole(multislerp(eps=1e-6), Stack(values), Facts((2,)))
    torch.testing.assert_close(got, values.mean(0))
    with pytest.raises(BadParameter, match="`weight` adds up to zero"):
        multislerp((1.0, -1.0))


def test_karcher_golden(golden):
    want = [[1.326492, 2.128941, 2.878022], [4.030412, 5.080932, 5.647948]]
    np.testing.assert_allclose(golden.on_weights(karcher()), want, **CLOSE)


def logarithm(mean, unit):
    theta = math.acos(np.clip(mean @ unit, -1, 1))
    return theta / math.sin(theta) * (unit - math.cos(theta) * mean) if theta > 1e-9 else 0 * mean


def test_karcher_arcs_cancel():
    rng = np.random.default_rng(4)
    models = rng.normal(1, 0.6, (4, 30))
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    stack = Stack(torch.from_numpy(models))
    got = run_whole(karcher(tuple(weights), max_iter=50, tol=1e-9), stack, Facts((30,))).numpy()
    norms = np.linalg.norm(models, axis=1)
    assert np.linalg.norm(got) == pytest.approx(weights @ norms)
    mean = got / np.linalg.norm(got)
    pull = sum(w * logarithm(mean, m / n) for w, m, n in zip(weights, models, norms, strict=True))
    assert np.linalg.norm(pull) < 1e-7


def test_karcher_ignores_zero_tensors_but_for_their_norm(golden):
    values = torch.from_numpy(golden.models.astype(np.float32))
    zero = torch.cat([values, torch.zeros(1, 2, 3)])
    got = run_whole(karcher(), Stack(zero), Facts((2, 3)))
    torch.testing.assert_close(got * 1.5, run_whole(karcher(), Stack(values), Facts((2, 3))))


def test_tiny_tensors_vanish_under_mergekit_only():
    stack = Stack(torch.full((2, 4), 1e-6))
    assert run_whole(karcher(), stack, Facts((4,))).tolist() == pytest.approx([1e-6] * 4)
    assert run_whole(build("karcher", {}, variant="mergekit"), stack, Facts((4,))).tolist() == [0.0] * 4
