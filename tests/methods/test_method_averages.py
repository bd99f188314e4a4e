"""linear, task_arithmetic, passthrough, nearswap."""

from __future__ import annotations

import numpy as np
import pytest

from solera.errors import BadParameter
from solera.methods.depth.passthrough import passthrough
from solera.methods.weights.linear import linear
from solera.methods.weights.nearswap import nearswap
from solera.methods.weights.task_arithmetic import task_arithmetic

CLOSE = {"rtol": 0, "atol": 1e-6}
WEIGHTS = (0.6, 0.3, -0.2)


def test_linear_golden(golden):
    np.testing.assert_allclose(golden.on_weights(linear()), [[1.325, 2.125, 2.875], [4.025, 5.075, 5.64]], **CLOSE)


def test_linear_equals_numpy(three):
    weights = np.array(WEIGHTS)
    whole = np.tensordot(weights, three.models, 1)
    np.testing.assert_allclose(three.on_weights(linear(WEIGHTS)), whole / weights.sum(), **CLOSE)
    np.testing.assert_allclose(three.on_weights(linear(WEIGHTS, normalize=False)), whole, **CLOSE)


@pytest.mark.parametrize("weight", [0.0, (1.0, -1.0)])
def test_linear_refuses_weights_that_cancel(weight):
    with pytest.raises(BadParameter, match="`weight` adds up to zero"):
        linear(weight)
    linear(weight, normalize=False)


def test_task_arithmetic_golden(golden):
    np.testing.assert_allclose(
        golden.on_deltas(task_arithmetic(lambda_=0.3)), [[1.195, 2.075, 2.925], [4.015, 5.045, 5.784]], **CLOSE
    )
    np.testing.assert_allclose(
        golden.on_deltas(task_arithmetic((-0.5, 0.0))), [[0.8, 2.1, 2.95], [4, 4.85, 6.25]], **CLOSE
    )


def test_task_arithmetic_equals_numpy(three):
    added = np.tensordot(WEIGHTS, three.deltas, 1)
    np.testing.assert_allclose(three.on_deltas(task_arithmetic(WEIGHTS, 0.8)), three.base + 0.8 * added, **CLOSE)
    shared = three.on_deltas(task_arithmetic(WEIGHTS, 0.8, normalize=True))
    np.testing.assert_allclose(shared, three.base + 0.8 * added / sum(WEIGHTS), **CLOSE)


def test_one_nth_of_the_sum_is_the_average(three):
    np.testing.assert_allclose(three.on_deltas(task_arithmetic(lambda_=1 / 3)), three.on_weights(linear()), **CLOSE)


def test_interpolation_has_the_weights_as_positions(golden):
    want = [[1.37, 1.93, 3.01], [4.01, 5.21, 5.556]]
    np.testing.assert_allclose(golden.on_weights(linear((0.8, 0.2))), want, **CLOSE)
    np.testing.assert_allclose(golden.on_deltas(task_arithmetic((0.8, 0.2))), want, **CLOSE)


def test_passthrough_copies_and_scales(three):
    assert np.array_equal(three.on_weights(passthrough(), picked=[1]), three.on_weights(linear(), picked=[1]))
    np.testing.assert_allclose(three.on_weights(passthrough(0.5), picked=[1]), 0.5 * three.models[1], **CLOSE)
    assert not three.on_weights(passthrough(0.0), picked=[1]).any()


@pytest.mark.parametrize("t", [0.0, 0.01, 0.1, 10.0])
def test_nearswap_equals_numpy(three, t):
    gap = np.abs(three.models[0] - three.base)
    near = np.clip(t / np.maximum(gap, 1e-6), 0, 1)
    got = three.on_weights(nearswap(t=t), base=True, picked=[0])
    np.testing.assert_allclose(got, near * three.models[0] + (1 - near) * three.base, **CLOSE)
    np.testing.assert_allclose(np.abs(got - three.base), np.minimum(gap, t), **CLOSE)
