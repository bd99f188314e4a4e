"""Draws belong to their place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solera.ops.contract import Facts, as_stack
from solera.ops.random import DRAW_BITS, bar, draw_bits, draws

FACTS = Facts(shape=(100,), leaf="a.weight", models=("x#0", "y#0"), seed=2**63 + 5, step=3)


def mixed(key, index):
    """SplitMix64, with Python's integers."""
    mask = 2**64 - 1
    z = (key + (index + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) >> (64 - DRAW_BITS)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40))
def test_bits_are_those_of_splitmix(seed, start):
    from solera.ops.random import _key

    facts = Facts(shape=(4,), leaf="w", seed=seed)
    key = _key(facts, "m") % 2**64
    assert draw_bits(facts, "m", start, 4).tolist() == [mixed(key, start + k) for k in range(4)]


@given(st.integers(0, 99), st.integers(0, 99))
def test_slices_of_draws_are_draws_of_slices(a, b):
    start, stop = sorted((a, b))
    assert torch.equal(draw_bits(FACTS, "x#0", 0, 100)[start:stop], draw_bits(FACTS, "x#0", start, stop - start))


@pytest.mark.parametrize("other", [{"seed": 1}, {"step": 4}, {"leaf": "b.weight"}])
def test_every_part_of_the_place_counts(other):
    from dataclasses import replace

    same = draw_bits(FACTS, "x#0", 0, 64) == draw_bits(replace(FACTS, **other), "x#0", 0, 64)
    assert not same.any()


def test_models_keep_their_draws_in_another_order():
    from dataclasses import replace

    stack = as_stack(torch.zeros(10, 10), torch.zeros(10, 10))
    there = draws(stack, FACTS)
    back = draws(stack, replace(FACTS, models=FACTS.models[::-1]))
    assert torch.equal(there, back.flip(0))
    assert not torch.equal(there[0], there[1])


def test_model_and_leaf_names_do_not_run_together():
    one = draw_bits(Facts(shape=(8,), leaf="bc"), "a", 0, 8)
    other = draw_bits(Facts(shape=(8,), leaf="c"), "ab", 0, 8)
    assert not torch.equal(one, other)


def test_draws_are_uniform():
    shares = draw_bits(FACTS, "x#0", 0, 200_000).numpy() / 2.0**DRAW_BITS
    counts = np.histogram(shares, bins=20, range=(0, 1))[0]
    assert counts.sum() == 200_000
    assert np.abs(counts - 10_000).max() < 5 * np.sqrt(10_000 * 0.95)
    assert abs(np.corrcoef(shares[:-1], shares[1:])[0, 1]) < 0.01


def test_the_bar_is_exact():
    assert bar(0.3) == int(0.3 * 2**53)
    assert bar(0) == 0
    assert bar(1) == 2**53
