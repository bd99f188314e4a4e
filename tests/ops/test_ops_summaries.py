"""Sums, counts, inner products, and sequels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from solera.ops.contract import Facts, Stack, Step, Summary, as_stack, chain, run_whole
from solera.ops.order import OrderStatistics
from solera.ops.summaries import Counts, Gram, Sequel, Sums
from solera.types import CELL, Scope

N = 3 * CELL + 17
VALUES = torch.randn(3, N, generator=torch.Generator().manual_seed(5))
BASE = torch.randn(N, generator=torch.Generator().manual_seed(6))
EDGES = (0, CELL, 3 * CELL, N)


def norms(stack, facts):
    return {"l1": stack.values.abs(), "l2": stack.values * stack.values}


def signs(stack, facts):
    return {"plus": stack.values > 0, "zero": stack.values == 0}


def above(stack, facts):
    """Terms that use the result of the summary before."""
    thresholds = torch.tensor([row[0] for row in facts.summary]).unsqueeze(-1)
    return {"kept": torch.where(stack.values.abs() >= thresholds, stack.values.abs(), 0.0)}


def with_base(stack):
    return (stack.base, *stack.values)


MEDIAN = OrderStatistics(lambda row, elements, nonzero: (elements // 2,))
SUMMARIES = {
    "sums": Sums(norms),
    "counts": Counts(signs),
    "gram": Gram(),
    "gram with base": Gram(with_base),
    "order": MEDIAN,
    "sequel": Sequel(MEDIAN, Sums(above)),
    "sequel of sequels": Sequel(Sequel(MEDIAN, Counts(signs)), Gram()),
}


def piece(start, stop):
    return Stack(VALUES[:, start:stop], BASE[start:stop]), Facts((N,), start=start, leaf="w")


def taken(summary, order, *, merged):
    """Over the pieces in an order; one state for all, or one each, merged from the right."""
    result = None
    pieces = [piece(EDGES[k], EDGES[k + 1]) for k in order]
    for round_ in range(summary.rounds):
        if not merged:
            state = summary.init(round_, result)
            for stack, facts in pieces:
                state = summary.add(state, stack, facts)
        else:
            states = [summary.add(summary.init(round_, result), *each) for each in pieces]
            state = summary.init(round_, result)
            for each in states[::-1]:
                state = summary.merge(each, state)
        result = summary.finish(round_, state)
    return result


@pytest.mark.parametrize("name", SUMMARIES)
def test_order_and_grouping_do_not_change_one_bit(name):
    summary = SUMMARIES[name]
    assert isinstance(summary, Summary)
    whole = None
    for round_ in range(summary.rounds):
        whole = summary.finish(round_, summary.add(summary.init(round_, whole), *piece(0, N)))
    for order in ((0, 1, 2), (2, 0, 1)):
        for merged in (False, True):
            assert taken(summary, order, merged=merged) == whole


@pytest.mark.parametrize("name", SUMMARIES)
def test_results_are_plain_data(name):
    found = taken(SUMMARIES[name], (0, 1, 2), merged=False)
    assert json.loads(json.dumps(found)) is not None


def test_sums_and_products_equal_numpy():
    wide = VALUES.numpy().astype(np.float64)
    sums = taken(SUMMARIES["sums"], (0, 1, 2), merged=False)
    np.testing.assert_allclose(sums["l1"], np.abs(wide).sum(1), rtol=1e-13)
    np.testing.assert_allclose(sums["l2"], (VALUES * VALUES).double().numpy().sum(1), rtol=1e-13)
    np.testing.assert_allclose(taken(SUMMARIES["gram"], (0, 1, 2), merged=False), wide @ wide.T, rtol=1e-12, atol=1e-9)
    both = np.vstack([BASE.numpy().astype(np.float64), wide])
    np.testing.assert_allclose(
        taken(SUMMARIES["gram with base"], (0, 1, 2), merged=False), both @ both.T, rtol=1e-12, atol=1e-9
    )
    assert taken(SUMMARIES["counts"], (0, 1, 2), merged=False)["plus"] == tuple((wide > 0).sum(1).tolist())


def test_the_second_summary_sees_the_first_result():
    summary = SUMMARIES["sequel"]
    assert summary.rounds == 3
    assert summary.scope is Scope.TENSOR
    medians, sums = taken(summary, (0, 1, 2), merged=False)
    wide = np.abs(VALUES.numpy().astype(np.float64))
    for k, (median,) in enumerate(medians):
        assert sums["kept"][k] == pytest.approx(wide[k][wide[k] >= median].sum(), rel=1e-13)


def test_a_sequel_in_a_chain_counts_its_passes():
    method = chain(
        Step(
            "shown",
            lambda stack, facts: stack.reduced(stack.values[0] * 0 + facts.summary[0][0][0]),
            SUMMARIES["sequel"],
        )
    )
    assert method.passes == 4
    assert run_whole(method, as_stack(torch.tensor([1.0, -2.0, 3.0])), Facts((3,))).tolist() == [2.0, 2.0, 2.0]


def test_a_population_adds_leaves():
    summary = Counts(signs, Scope.POPULATION)
    state = summary.init(0, None)
    for leaf in ("b", "a"):
        state = summary.add(state, as_stack(torch.tensor([1.0, 0.0, 2.0])), Facts((3,), leaf=leaf))
    assert summary.finish(0, state) == {"plus": (4,), "zero": (2,)}
    assert summary.scope is Scope.POPULATION
