"""Folds over models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from solera.errors import BadParameter
from solera.ops.fold import flat, per_model, spread, total, variance, weighted_total

STACKS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 7)),
    elements=st.floats(-8, 8, width=32, allow_subnormal=False),
)


@given(STACKS)
def test_total_is_the_left_to_right_sum(values):
    want = values[0]
    for value in values[1:]:
        want = want + value
    assert total(torch.from_numpy(values)).numpy().tobytes() == want.tobytes()


@given(STACKS)
def test_weighted_total_multiplies_then_adds(values):
    weights = [0.3 * (k + 1) for k in range(len(values))]
    want = values[0] * np.float32(weights[0])
    for value, weight in zip(values[1:], weights[1:], strict=True):
        want = want + value * np.float32(weight)
    assert weighted_total(torch.from_numpy(values), weights).numpy().tobytes() == want.tobytes()


@given(STACKS)
def test_variance_is_the_population_variance(values):
    torch.testing.assert_close(
        variance(torch.from_numpy(values)),
        torch.from_numpy(values.astype(np.float64).var(0)).float(),
        rtol=1e-4,
        atol=1e-5,
    )


@given(st.floats(-100, 100, width=32), st.integers(1, 6))
def test_variance_of_equal_values_is_exactly_zero(value, models):
    assert variance(torch.full((models, 3), value)).tolist() == [0.0, 0.0, 0.0]


def test_spread_refuses_another_number_of_values_by_name():
    assert spread(2, 3) == (2.0, 2.0, 2.0)
    with pytest.raises(BadParameter, match="`density` has the wrong number"):
        spread((1.0, 2.0), 3, name="density")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (2, 0)])
def test_views_and_columns_keep_types(dtype, shape):
    values = torch.ones(2, *shape, dtype=dtype)
    assert flat(values).shape == (2, values[0].numel())
    assert (per_model((1.0, 3.0), values) * values).dtype == dtype
    assert per_model((1.0, 3.0), values).shape == (2, *[1] * len(shape))
