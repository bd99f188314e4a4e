"""Steps that zero part of every operand, against numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from solera.errors import BadParameter
from solera.ops.contract import Facts, Stack, chain, run_whole
from solera.ops.sparsify import drop, drop_by_rank, keep_band, keep_probabilities, keep_row_band, restore_l1, trim
from solera.types import ROWS, Scope

ROW = hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-4, 4, width=32).map(lambda v: round(v, 1)))
SHARE = st.floats(0, 1)


def run(step, values, *, shape=None, **facts):
    """Apply to every operand; returns all operands."""
    stack, where = Stack(values), Facts(tuple(shape or values.shape[1:]), **facts)
    summary = None
    for round_ in range(step.summary.rounds if step.summary else 0):
        state = step.summary.add(step.summary.init(round_, summary), stack, where)
        summary = step.summary.finish(round_, state)
    return step(stack, replace(where, summary=summary)).values


def rng(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(ROW, SHARE)
def test_trim_keeps_the_k_largest_and_their_equals(row, density):
    size = np.abs(row)
    count = int(density * len(row))
    limit = np.sort(size)[len(row) - count] if count else np.inf
    step = trim(density)
    got = torch.from_numpy(row) if step is None else run(step, torch.from_numpy(row)[None])[0]
    np.testing.assert_array_equal(got.numpy(), np.where(size >= limit, row, 0))


@given(ROW, st.floats(0, 0.99))
def test_the_official_boundary_is_a_kth_smallest(row, density):
    count = int(density * len(row))
    limit = np.sort(np.abs(row))[len(row) - count - 1] if count < len(row) else 0
    got = run(trim(density, boundary="kth"), torch.from_numpy(row)[None])[0]
    np.testing.assert_array_equal(got.numpy(), np.where(np.abs(row) >= limit, row, 0))


def test_trim_takes_a_share_per_model():
    values = torch.tensor([[1.0, 2.0, 3.0, 4.0]] * 3)
    got = run(trim((0.25, 1.0, 0.2)), values)
    assert got.tolist() == [[0, 0, 0, 4], [1, 2, 3, 4], [0, 0, 0, 0]]
    assert run(trim((0.25, 1.0, 0.2), keep_one=True), values)[2].tolist() == [0, 0, 0, 4]
    assert run(trim((0.0, 1.0, 0.2), keep_one=True), values)[0].tolist() == [0, 0, 0, 0]


def test_a_population_shares_one_threshold():
    step = trim(0.5, scope=Scope.POPULATION)
    units = [
        (Stack(torch.tensor([[4.0, 3.0]])), Facts((2,), leaf="a")),
        (Stack(torch.tensor([[1.0, -2.0]])), Facts((2,), leaf="b")),
    ]
    found = None
    for round_ in range(2):
        state = step.summary.init(round_, found)
        for stack, facts in units:
            state = step.summary.add(state, stack, facts)
        found = step.summary.finish(round_, state)
    kept = [step(stack, replace(facts, summary=found)).values.tolist() for stack, facts in units]
    assert kept == [[[4.0, 3.0]], [[0.0, 0.0]]]


def test_all_kept_is_no_step():
    assert trim(1.0) is None
    assert trim((1.0, 1.0)) is None
    assert keep_band(1.0, 0.1) is None


def band_by_hand(row, keep, top, *, shrink):
    """Positions of the sorted magnitudes, distinct by construction."""
    bottom = len(row) - keep - top
    if bottom < 0:
        bottom, top = 0, max(top + bottom, 0) if shrink else top
    order = np.argsort(np.abs(row))[bottom : len(row) - top]
    mask = np.zeros(len(row), bool)
    mask[order] = True
    return np.where(mask, row, 0)


@given(st.integers(1, 40), SHARE, SHARE, st.integers(0, 1000))
def test_bands_equal_sorting(length, density, gamma, seed):
    row = rng(1, length, seed=seed)
    keep, top = int(density * length), int(gamma * length)
    got = row if density == 1 else run(keep_band(density, gamma), row)
    np.testing.assert_array_equal(got[0].numpy(), band_by_hand(row[0].numpy(), keep, top, shrink=True))
    got = run(keep_row_band(density, gamma), row)
    np.testing.assert_array_equal(got[0].numpy(), band_by_hand(row[0].numpy(), keep, top, shrink=False))


def test_equal_magnitudes_at_the_ends_of_a_band_stay():
    row = torch.tensor([[1.0, 1.0, -1.0, 2.0, 3.0, 5.0]])
    # 6 entries, 1 leaves at the top, 2 at the bottom: the lower end is 1, and all three of them stay
    assert run(keep_band(0.5, 0.2), row).tolist() == [[1, 1, -1, 2, 3, 0]]


def test_row_bands_work_row_by_row_and_keep_single_numbers():
    rows = torch.tensor([[[1.0, 2.0, 3.0, 4.0], [40.0, 30.0, 20.0, 10.0]]])
    assert run(keep_row_band(0.5, 0.25), rows).tolist() == [[[0, 2, 3, 0], [0, 30, 20, 0]]]
    assert run(keep_row_band(0.5, 0.25), torch.tensor([3.0]), shape=()).tolist() == [3.0]
    assert keep_row_band(0.5, 0.25).grain is ROWS


def test_drop_keeps_the_share_of_each_model():
    values = torch.ones(3, 40_000)
    got = run(drop((0.25, 1.0, 0.0)), values, models=("a", "b", "c"))
    assert abs(float(got[0].mean()) - 0.25) < 0.01
    assert got[1].all()
    assert not got[2].any()
    inverse = run(drop((0.25, 1.0, 0.0), inverse=True), values, models=("a", "b", "c"))
    assert torch.equal(inverse, got / torch.tensor([[0.25], [1.0], [1.0]]))


def test_rank_probabilities_are_those_of_the_paper():
    row = torch.tensor([0.4, 0.2, 0.1, 0.3])
    np.testing.assert_allclose(keep_probabilities(row, 0.6, 0.1).numpy(), [0.7, 0.566667, 0.5, 0.633333], atol=1e-6)
    assert keep_probabilities(row, 1.0, 0.1).tolist() == [1.0] * 4
    assert keep_probabilities(row, 0.0, 0.1).tolist() == [0.0] * 4
    assert keep_probabilities(row[:1], 0.6, 0.1).tolist() == [0.6]
    assert keep_probabilities(torch.ones(3), 0.5, 0.25).tolist() == [0.25, 0.5, 0.75]


@given(st.integers(2, 30), st.floats(0.3, 0.7), st.floats(0, 0.25))
def test_probabilities_average_to_the_density(length, density, epsilon):
    found = keep_probabilities(rng(3, length), density, epsilon)
    np.testing.assert_allclose(found.mean(-1).numpy(), density, atol=1e-12)


def test_sampling_by_rank_follows_its_probabilities_and_keeps_the_mean():
    row = rng(1, 5)
    want = keep_probabilities(row, 0.5, 0.3)[0]
    many = row.expand(20_000, 5)[None]
    kept = run(drop_by_rank(0.5, 0.3), many)
    shares = (kept[0] != 0).double().mean(0)
    np.testing.assert_allclose(shares.numpy(), want.numpy(), atol=0.02)
    inverse = run(drop_by_rank(0.5, 0.3, inverse=True), many)
    np.testing.assert_allclose(inverse[0].mean(0).numpy(), row[0].numpy(), atol=0.06)
    assert torch.equal(inverse != 0, kept != 0)


@pytest.mark.parametrize(("density", "epsilon"), [(0.1, 0.15), (0.9, 0.15), ((0.5, 0.9), 0.2), (0.3, (0.1, 0.3))])
def test_windows_that_leave_zero_to_one_are_refused(density, epsilon):
    with pytest.raises(BadParameter, match="`density` and `epsilon`"):
        drop_by_rank(density, epsilon)


@pytest.mark.parametrize(
    "step",
    [trim(0.4), keep_band(0.4, 0.1), keep_row_band(0.4, 0.1), drop(0.4), drop_by_rank(0.4, 0.1)],
    ids=lambda s: s.name,
)
def test_magnitudes_are_restored(step):
    values = rng(2, 30, 20)
    full = restore_l1(step, by=step.grain)
    got, masked = run(full, values), run(step, values)
    assert torch.equal(got != 0, masked != 0)
    ratio = values.double().abs().sum((1, 2)) / masked.double().abs().sum((1, 2))
    torch.testing.assert_close(got, masked * ratio.float()[:, None, None], rtol=2e-7, atol=0)
    assert full.grain is step.grain


def test_nothing_is_restored_where_nothing_is_left():
    assert run(restore_l1(trim(0.3)), torch.tensor([[1.0, 2.0]])).tolist() == [[0.0, 0.0]]
    assert run(restore_l1(trim(0.5)), torch.tensor([[1e-9, 2e-9]])).tolist() == torch.tensor([[0.0, 2e-9]]).tolist()
    assert run(restore_l1(trim(0.5)), torch.zeros(1, 4)).tolist() == [[0.0] * 4]


@pytest.mark.parametrize(
    "step",
    [
        trim((0.5, 0.5)),
        keep_band(0.5, (0.1, 0.1)),
        keep_row_band((0.5, 0.5), 0.1),
        drop((0.5, 0.5)),
        drop_by_rank(0.5, (0.1, 0.1)),
    ],
    ids=lambda s: s.name,
)
@pytest.mark.parametrize("models", [1, 3])
def test_values_per_model_must_be_as_many_as_models(step, models):
    with pytest.raises(BadParameter, match="wrong number of values"):
        run(step, torch.ones(models, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (2, 3)])
@pytest.mark.parametrize(
    "step",
    [
        trim(0.5),
        keep_band(0.5, 0.1),
        keep_row_band(0.5, 0.1),
        drop(0.5, inverse=True),
        drop_by_rank(0.5, 0.1, inverse=True),
        restore_l1(trim(0.5)),
        restore_l1(drop_by_rank(0.5, 0.1), by=ROWS),
    ],
    ids=lambda s: s.name,
)
def test_small_and_empty_tensors_keep_shape_and_type(step, shape, dtype):
    got = run(step, torch.ones(2, *shape, dtype=dtype), shape=shape)
    assert got.shape == (2, *shape)
    assert got.dtype == dtype
    assert run_whole(chain(step), Stack(torch.ones(1, *shape, dtype=dtype)), Facts(shape)).shape == shape
