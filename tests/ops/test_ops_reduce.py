"""Sums that slicing cannot change."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solera.ops.contract import Facts
from solera.ops.reduce import Partials, as_rows, cell_sums, tree_sum
from solera.types import CELL, ELEMENT, ROWS


def by_hand(numbers):
    """The tree, one addition at a time."""
    size = 1
    while size < len(numbers):
        size *= 2
    numbers = [*numbers, *[0.0] * (size - len(numbers))]
    while len(numbers) > 1:
        half = len(numbers) // 2
        numbers = [a + b for a, b in zip(numbers[:half], numbers[half:], strict=True)]
    return numbers[0]


@given(st.lists(st.floats(-1e6, 1e6), max_size=40))
def test_tree_sum_halves_in_float64(numbers):
    assert float(tree_sum(torch.tensor(numbers, dtype=torch.float64))) == by_hand(numbers)


def test_tree_sum_widens_before_it_adds():
    assert float(tree_sum(torch.tensor([2.0**24, 1.0, 1.0]))) == 2.0**24 + 2


@pytest.mark.parametrize("numel", [0, 1, CELL - 1, CELL, CELL + 1, 3 * CELL, 3 * CELL + 5])
def test_cells_are_summed_one_by_one(numel):
    terms = torch.rand(2, numel, generator=torch.Generator().manual_seed(1))
    got = cell_sums(terms)
    assert got.shape == (2, -(-numel // CELL))
    for k in range(got.shape[1]):
        assert torch.equal(got[:, k], tree_sum(terms[:, k * CELL : (k + 1) * CELL]))


def whole_sum(terms, facts, by):
    partials = Partials()
    partials.add(terms, facts, by)
    return partials.joined(terms.shape[0])


def cut_sum(terms, shape, edges, by, order):
    blocks = []
    for start, stop in pairwise(edges):
        part = Partials()
        part.add(terms[:, start:stop], Facts(shape, start=start), by)
        blocks.extend(part.blocks)
    order.shuffle(blocks)
    return Partials(blocks).joined(terms.shape[0])


@settings(max_examples=15)
@given(st.integers(1, 5 * CELL), st.sets(st.integers(1, 4)), st.integers(0, 2**32))
def test_cells_in_any_order_and_grouping_give_the_same_bits(numel, cuts, seed):
    terms = torch.randn(2, numel, generator=torch.Generator().manual_seed(seed))
    edges = sorted({0, numel, *(min(k * CELL, numel) for k in cuts)})
    whole = whole_sum(terms, Facts((numel,)), ELEMENT)
    assert cut_sum(terms, (numel,), edges, ELEMENT, random.Random(seed)) == whole
    assert whole[0] == pytest.approx(math.fsum(terms[0].tolist()), rel=1e-12, abs=1e-10)


@settings(max_examples=25)
@given(st.integers(1, 30), st.integers(1, 9), st.sets(st.integers(0, 30)), st.integers(0, 2**32))
def test_rows_may_be_cut_anywhere_between_rows(rows, length, cuts, seed):
    terms = torch.randn(1, rows * length, generator=torch.Generator().manual_seed(seed))
    edges = sorted({0, rows * length, *(min(k, rows) * length for k in cuts)})
    shape = (rows, length)
    assert cut_sum(terms, shape, edges, ROWS, random.Random(seed)) == whole_sum(terms, Facts(shape), ROWS)


def test_leaves_are_joined_by_name():
    terms = torch.tensor([[1e16, 1.0, -1e16]])
    leaves = [("c", terms[:, 2:]), ("a", terms[:, :1]), ("b", terms[:, 1:2])]
    results = []
    for order in (leaves, leaves[::-1]):
        partials = Partials()
        for leaf, part in order:
            partials.add(part, Facts((1,), leaf=leaf), ELEMENT)
        results.append(partials.joined(1))
    assert results[0] == results[1] == (by_hand([1e16, 1.0, -1e16]),)


def test_nothing_sums_to_zero():
    partials = Partials()
    partials.add(torch.zeros(2, 0), Facts((0,)), ELEMENT)
    assert partials.joined(2) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("shape", "rows"), [((), (1, 1)), ((5,), (1, 5)), ((3, 4), (3, 4)), ((2, 3, 4), (6, 4)), ((3, 0), (0, 0))]
)
def test_rows_run_along_the_last_axis(shape, rows):
    values = torch.zeros(2, *shape)
    assert as_rows(values, Facts(shape)).shape == (2, *rows)
    assert as_rows(values.reshape(2, values[0].numel()), Facts(shape)).shape == (2, *rows)
