"""breadcrumbs, breadcrumbs_ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from solera.methods.weights.breadcrumbs import breadcrumbs, breadcrumbs_ties
from solera.methods.weights.task_arithmetic import task_arithmetic
from solera.methods.weights.ties import ties
from solera.ops.contract import Facts, Stack, run_whole
from solera.registry import build

CLOSE = {"rtol": 0, "atol": 1e-6}


def middle(delta, density, gamma, *, per):
    """Sort, cut both ends, keep the middle; row by row, or the tensor at once with gamma yielding."""
    if per == "row":
        if delta.ndim == 0:
            return delta
        return np.apply_along_axis(
            lambda row: middle_of(row, int(density * len(row)), int(gamma * len(row))), -1, delta
        )
    flat = delta.reshape(-1)
    keep, top = int(density * flat.size), int(gamma * flat.size)
    return middle_of(flat, keep, min(top, max(flat.size - keep, 0))).reshape(delta.shape)


def middle_of(row, keep, top):
    order = np.argsort(np.abs(row), kind="stable")
    chosen = order[max(len(row) - keep - top, 0) : len(row) - top]
    return np.where(np.isin(np.arange(len(row)), chosen), row, 0)


def test_golden(golden):
    got = golden.on_deltas(build("breadcrumbs", {"density": 0.5, "gamma": 0.17}, variant="mergekit"))
    np.testing.assert_allclose(got, [[1.65, 1.8, 2.65], [4, 5.3, 5.78]], **CLOSE)

    def rows(k):
        return golden.on_deltas(breadcrumbs((1.0 - k, 1.0 * k), 0.34, 0.34)) - golden.base

    np.testing.assert_allclose(rows(0), [[0, -0.2, 0], [0, 0.3, 0]], **CLOSE)
    np.testing.assert_allclose(rows(1), [[0, 0, -0.35], [0, -0.15, 0]], **CLOSE)


@pytest.mark.parametrize("per", ["row", "tensor"])
@pytest.mark.parametrize(("density", "gamma"), [(0.5, 0.2), (0.2, 0.1), (0.9, 0.3), (0.6, 0.0), (0.3, 1.0), (1.0, 0.3)])
def test_equals_numpy(three, per, density, gamma):
    deltas = three.deltas + 1e-3 * np.sign(three.deltas + 1e-9) * (1 + np.arange(three.deltas.size)).reshape(
        three.deltas.shape
    )
    deltas = np.asarray(deltas, np.float32).astype(float)  # no two magnitudes alike
    operands = type(three)(three.base, deltas)
    kept = np.array([middle(delta, density, gamma, per=per) for delta in deltas])
    weights = (0.6, 0.3, 0.4)
    want = np.tensordot(weights, kept, 1)
    got = operands.on_deltas(breadcrumbs(weights, density, gamma, per=per)) - three.base
    np.testing.assert_allclose(got, want, **CLOSE)
    elected = type(three)(three.base, kept).on_deltas(ties(weights, 1.0, zero="plus", normalize=False))
    np.testing.assert_allclose(operands.on_deltas(breadcrumbs_ties(weights, density, gamma, per=per)), elected, **CLOSE)


def test_without_outliers_it_is_trimming(three):
    got = three.on_deltas(build("breadcrumbs", {"density": 0.4, "gamma": 0.0}, variant="mergekit"))
    kept = np.array([ties_trim(delta, 0.4) for delta in three.deltas])
    np.testing.assert_allclose(got, three.base + kept.sum(0), **CLOSE)


def ties_trim(delta, density):
    values = torch.from_numpy(np.asarray(delta, np.float32))[None]
    return run_whole(ties(density=density, scope="tensor"), Stack(values), Facts(np.shape(delta))).double().numpy()


def test_density_one_takes_everything_tensor_by_tensor(three):
    got = three.on_deltas(build("breadcrumbs", {}, variant="mergekit"))
    np.testing.assert_allclose(got, three.on_deltas(task_arithmetic()), **CLOSE)


def test_rescaling_restores_the_sum_of_magnitudes(three):
    for per in ("row", "tensor"):
        got = three.on_deltas(breadcrumbs((1.0, 0.0, 0.0), 0.5, 0.2, rescale=True, per=per)) - three.base
        if got.any():
            assert np.abs(got).sum() == pytest.approx(np.abs(three.deltas[0]).sum(), rel=1e-5)


def test_normalising_divides_by_all_weights_or_by_those_that_agree(three):
    plain = three.on_deltas(breadcrumbs(0.5, 0.5, 0.1)) - three.base
    shared = three.on_deltas(breadcrumbs(0.5, 0.5, 0.1, normalize=True)) - three.base
    np.testing.assert_allclose(shared * 1.5, plain, atol=1e-5)
    agreeing = three.on_deltas(breadcrumbs_ties(0.5, 0.5, 0.1, normalize=True))
    assert np.isfinite(agreeing).all()


def test_scales_with_the_task_vectors(three):
    there = three.on_deltas(breadcrumbs(1.0, 0.5, 0.1)) - three.base
    half = type(three)(three.base, three.deltas / 2).on_deltas(breadcrumbs(1.0, 0.5, 0.1)) - three.base
    np.testing.assert_allclose(half * 2, there, **CLOSE)
