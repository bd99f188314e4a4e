"""Which layers are merged: worked shares, order, kinds, ranges."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solera.errors import BadParameter, PlanError
from solera.methods.depth.folding import fold, removed_count


def similarity(layers=8, seed=0):
    found = torch.rand(layers, layers, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (found + found.T) / 2


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize(("means", "share"), [((1.0, 1.0), 0.6225), ((0.6, 0.4), 0.6457), ((0.4, 0.6), 0.5987)])
def test_shares_of_the_code(means, share):
    """lambda = sigmoid(s_l / (s_l + s_m)) with the rows' means: equal ones give .6225, (.6, .4) gives .6457."""
    rows = torch.tensor(means, dtype=torch.float64)[:, None].expand(2, 2)
    merges = fold(rows, 1, alpha="sigmoid")[1]
    assert merges[0].share == pytest.approx(share, abs=1e-4)


def test_shares_of_the_paper():
    alike = torch.tensor([[1.0, 0.7], [0.7, 1.0]])
    layers, merges = fold(alike, 1, alpha="similarity")
    assert layers[0].shares == pytest.approx((0.7, 0.3))
    assert merges[0].similarity == pytest.approx(0.7)
    assert fold(alike, 1, alpha=0.25)[0][0].shares == (0.25, 0.75)
    assert fold(alike, 1, alpha=1)[0][0].shares == (1.0, 0.0)


def test_the_last_two_again_and_again():
    layers, merges = fold(similarity(5), 3, pairs="last", alpha=0.6)
    assert [one.layers for one in layers] == [(0,), (1, 2, 3, 4)]
    assert layers[1].shares == pytest.approx((0.6, 0.24, 0.096, 0.064))
    assert [(m.lower, m.upper) for m in merges] == [((3,), (4,)), ((2,), (3, 4)), ((1,), (2, 3, 4))]


def test_the_most_similar_first():
    alike = torch.eye(4)
    for (i, j), value in {(0, 1): 0.5, (1, 2): 0.9, (2, 3): 0.6, (0, 2): 0.3, (1, 3): 0.7}.items():
        alike[i, j] = alike[j, i] = value
    merges = fold(alike, 2)[1]
    assert (merges[0].lower, merges[0].upper) == ((1,), (2,))
    assert (merges[1].lower, merges[1].upper) == ((1, 2), (3,))  # (.7 + .6) / 2 against (.5 + .3) / 2
    assert merges[1].similarity == pytest.approx(0.65)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 50), st.sampled_from(["similar", "last"]), st.data())
def test_every_layer_has_its_place(layers, seed, pairs, data):
    count = data.draw(st.integers(0, layers - 1))
    alpha = data.draw(st.sampled_from(["sigmoid", "similarity", 0.0, 0.3, 1.0]))
    folds, merges = fold(similarity(layers, seed), count, pairs=pairs, alpha=alpha)
    assert len(folds) == layers - count
    assert len(merges) == count
    assert [layer for one in folds for layer in one.layers] == list(range(layers))
    for one in folds:
        assert sum(one.shares) == pytest.approx(1.0)
        assert min(one.shares) >= 0
    for one in merges:
        assert alpha != "sigmoid" or 0.5 < one.share < 0.74


def test_layers_of_other_kinds_are_not_merged():
    alike = torch.full((4, 4), 0.5)
    kinds = ["a", "b", "b", "a"]
    assert [one.layers for one in fold(alike, 1, kinds=kinds)[0]] == [(0,), (1, 2), (3,)]
    with pytest.raises(PlanError, match="No two layers"):
        fold(alike, 2, kinds=kinds)
    with pytest.raises(PlanError, match="No two layers"):
        fold(alike, 1, pairs="last", kinds=kinds)


def test_how_many_go():
    assert [removed_count(32, ratio=ratio) for ratio in (0, 0.25, 0.4375)] == [0, 8, 14]
    assert removed_count(1, ratio=0.4) == 0
    for bad in ({}, {"ratio": 0.5, "remove": 1}, {"ratio": 1.0}, {"ratio": -0.1}, {"ratio": float("nan")}):
        with pytest.raises(BadParameter):
            removed_count(8, **bad)
    for bad in (-1, 8, 9):
        with pytest.raises(BadParameter, match="cannot go"):
            removed_count(8, remove=bad)
    with pytest.raises(BadParameter, match="0 to 0"):
        removed_count(1, remove=1)


def test_bad_words():
    with pytest.raises(BadParameter, match="pairs"):
        fold(similarity(), 1, pairs="first")
    for alpha in ("mean", 1.5, -0.1, True, float("nan")):
        with pytest.raises(BadParameter, match="alpha"):
            fold(similarity(), 1, alpha=alpha)
