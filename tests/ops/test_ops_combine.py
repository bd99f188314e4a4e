"""Steps that turn several operands into one, and sign election."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from solera.ops.combine import add_models, combine, combine_rows, scale_by, weigh
from solera.ops.contract import Facts, Stack, as_stack, chain, run_whole
from solera.ops.elect import disjoint_mean, elect_sign
from solera.types import ROWS, TENSOR, Scope

STACKS = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.integers(-3, 3).map(float))
HERE = Facts((3,))


def elected(values, vote, zero):
    votes = (values if vote == "mass" else np.sign(values)).sum(0)
    sign = np.sign(votes)
    if zero == "plus":
        sign[sign == 0] = 1
    if zero == "majority":
        sign[sign == 0] = 1 if sign.sum() > 0 else -1
    return np.where(np.sign(values) * sign > 0, values, 0)


@given(STACKS, st.sampled_from(["mass", "count"]), st.sampled_from(["plus", "drop", "majority"]))
def test_election_equals_numpy(values, vote, zero):
    step, stack, facts = elect_sign(vote, zero=zero), Stack(torch.from_numpy(values)), Facts((values.shape[1],))
    if step.summary:
        assert step.summary.scope is Scope.POPULATION
        facts = replace(
            facts, summary=step.summary.finish(0, step.summary.add(step.summary.init(0, None), stack, facts))
        )
    np.testing.assert_array_equal(step(stack, facts).values.numpy(), elected(values, vote, zero))


@given(STACKS, st.sampled_from(["weights", "count", "none"]))
def test_disjoint_mean_equals_numpy(values, divide):
    weights = np.array([0.5, 2.0, 1.0, 3.0][: len(values)], np.float32)
    got = chain(weigh(tuple(weights.tolist())), disjoint_mean(divide))
    wide = values * weights[:, None]
    below = {
        "weights": (weights[:, None] * (wide != 0)).sum(0),
        "count": (wide != 0).sum(0),
        "none": np.ones(values.shape[1]),
    }[divide]
    want = wide.sum(0) / np.where(below == 0, 1, below)
    torch.testing.assert_close(
        run_whole(got, Stack(torch.from_numpy(values)), Facts((values.shape[1],))),
        torch.from_numpy(want.astype(np.float32)),
    )


def test_weights_after_counting_do_not_change_the_count():
    stack = as_stack(torch.tensor([2.0, 2.0]), torch.tensor([4.0, 0.0]))
    got = disjoint_mean("count", weight=(0.0, 1.0))(stack, Facts((2,)))
    assert got.values.tolist() == [[2.0, 0.0]]


def test_small_divisors_are_replaced():
    stack = Stack(torch.tensor([[1e-9, 3.0], [1e-9, 3.0]]), weights=(1e-9, 0.0))
    assert disjoint_mean(small=1e-6, instead=1e-3)(stack, Facts((2,))).values[0].tolist() == pytest.approx(
        [2e-6, 6e3], rel=1e-6
    )


def test_weights_are_noted_and_may_be_applied_later():
    stack = replace(as_stack(torch.ones(3), torch.ones(3)), weights=(2.0, 3.0))
    assert weigh()(stack, HERE).values[:, 0].tolist() == [2.0, 3.0]
    assert weigh((4.0, 5.0))(stack, HERE).weights == (4.0, 5.0)
    assert weigh()(as_stack(torch.ones(3)), HERE).weights == (1.0,)


def test_normalising_divides_by_the_weights_unless_they_cancel():
    stack = as_stack(torch.ones(3), torch.ones(3))
    assert run_whole(chain(weigh((1.0, 3.0)), add_models(normalize=True)), stack, HERE).tolist() == [1.0] * 3
    assert run_whole(chain(weigh((1.0, -1.0)), add_models(normalize=True)), stack, HERE).tolist() == [0.0] * 3
    assert run_whole(chain(weigh((1.0, 3.0)), add_models()), stack, HERE).tolist() == [4.0] * 3


def test_scaling_by_one_is_no_step():
    assert scale_by(1.0) is None
    assert scale_by(2.0)(as_stack(torch.ones(3)), HERE).values.tolist() == [[2.0] * 3]


def first_over_all(gram):
    return [row[0] / sum(r[0] for r in gram) for row in gram]


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4), (0,), (3, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_and_columns_are_combined_one_by_one(shape, axis, dtype):
    values = torch.rand(2, *shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    step = combine_rows(first_over_all, axis=axis)
    assert step.grain is (ROWS if axis == -1 else TENSOR)
    got = run_whole(chain(step), Stack(values), Facts(shape))
    assert got.shape == shape
    assert got.dtype == dtype
    if got.numel() == 0:
        return
    wide = values.double().numpy().reshape(2, *(shape or (1,)))
    lines = [np.moveaxis(each, axis, -1) for each in wide]
    dots = [(lines[0] * lines[k]).sum(-1, keepdims=True) for k in range(2)]
    want = np.moveaxis(sum(dots[k] / (dots[0] + dots[1]) * lines[k] for k in range(2)), -1, axis)
    np.testing.assert_allclose(got.numpy().reshape(want.shape), want, rtol=1e-6)


def test_rows_of_flat_units_are_found_by_the_leafs_shape():
    values = torch.rand(2, 6, 4, generator=torch.Generator().manual_seed(2))
    method = chain(combine_rows(first_over_all))
    whole = run_whole(method, Stack(values), Facts((6, 4)))
    part = run_whole(method, Stack(values[:, 2:].reshape(2, 16)), Facts((6, 4), start=8))
    assert torch.equal(part.reshape(4, 4), whole[2:])
    across = chain(combine_rows(first_over_all, axis=0))
    assert torch.equal(
        run_whole(across, Stack(values.reshape(2, 24)), Facts((6, 4))).reshape(6, 4),
        run_whole(across, Stack(values), Facts((6, 4))),
    )


@pytest.mark.parametrize("shape", [(), (5,), (0,), (2, 3)])
def test_combining_uses_the_inner_products_of_the_whole(shape):
    values = torch.rand(2, *shape, generator=torch.Generator().manual_seed(2))
    got = run_whole(chain(combine(first_over_all)), Stack(values), Facts(shape))
    wide = values.double().reshape(2, -1) if values.numel() else values
    if got.numel():
        share = (wide[0] @ wide[0]) / (wide[0] @ wide[0] + wide[0] @ wide[1])
        torch.testing.assert_close(got, (share * values[0] + (1 - share) * values[1]).float())
    assert got.shape == shape
