"""Spherical means by coefficients, against the same means on vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from solera.ops.sphere import karcher_coefficients, mean_direction_coefficients, slerp_coefficients

NUMBERS = st.floats(-4, 4).map(lambda v: round(v, 3))
PAIRS = hnp.arrays(np.float64, (2, 6), elements=NUMBERS)
MANY = hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.just(6)), elements=NUMBERS)


def gram_of(vectors):
    return tuple(map(tuple, (vectors @ vectors.T).tolist()))


def angle(a, b):
    """Between two vectors, exact for small and for large angles."""
    u, v = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return 2 * math.atan2(np.linalg.norm(u - v), np.linalg.norm(u + v))


@given(PAIRS, st.floats(0, 1))
def test_slerp_divides_the_angle(vectors, t):
    norms = np.linalg.norm(vectors, axis=1)
    assume(norms.min() > 0.1 and 0.01 < angle(*vectors) < 3.1)
    units = vectors / norms[:, None]
    coefficients = np.array(slerp_coefficients(gram_of(units), t))
    point = coefficients @ units
    assert np.linalg.norm(point) == pytest.approx(1, abs=1e-9)
    assert angle(point, units[0]) == pytest.approx(t * angle(*units), abs=1e-6)
    assert slerp_coefficients(gram_of(vectors), t) == pytest.approx(tuple(coefficients), abs=1e-9)


@given(PAIRS, st.floats(0, 1))
def test_slerp_reads_the_same_from_both_ends(vectors, t):
    there = slerp_coefficients(gram_of(vectors), t)
    back = slerp_coefficients(gram_of(vectors[::-1]), 1 - t)
    assert there == pytest.approx(back[::-1], abs=1e-9)


def test_slerp_ends_are_exact_and_parallel_vectors_take_the_chord():
    assert slerp_coefficients(((2.0, 0.3), (0.3, 5.0)), 0.0) == (1.0, 0.0)
    assert slerp_coefficients(((2.0, 0.3), (0.3, 5.0)), 1.0) == (0.0, 1.0)
    assert slerp_coefficients(((1.0, 2.0), (2.0, 4.0)), 0.25) == (0.75, 0.25)
    assert slerp_coefficients(((1.0, -1.0), (-1.0, 1.0)), 0.5) == (0.5, 0.5)
    assert slerp_coefficients(((1.0, 0.9999), (0.9999, 1.0)), 0.25, lerp_above=0.9995) == (0.75, 0.25)
    assert slerp_coefficients(((1.0, 0.9999), (0.9999, 1.0)), 0.25) != (0.75, 0.25)


def test_zero_operands_are_at_a_right_angle():
    half = math.sqrt(0.5)
    assert slerp_coefficients(((0.0, 0.0), (0.0, 4.0)), 0.5) == pytest.approx((half, half))
    assert slerp_coefficients(((0.0, 0.0), (0.0, 0.0)), 0.5) == pytest.approx((half, half))


@given(MANY)
def test_mean_direction_has_the_mean_norm(vectors):
    norms = np.linalg.norm(vectors, axis=1)
    weights = np.arange(1, len(vectors) + 1) / 3
    assume(norms.min() > 0.1)
    direction = (weights[:, None] * vectors / norms[:, None]).sum(0)
    assume(np.linalg.norm(direction) > 0.01)
    want = direction / np.linalg.norm(direction) * (weights @ norms)
    np.testing.assert_allclose(
        np.array(mean_direction_coefficients(gram_of(vectors), weights)) @ vectors, want, atol=1e-9
    )


def test_opposite_directions_fall_back_to_the_weighted_sum():
    assert mean_direction_coefficients(((1.0, -1.0), (-1.0, 1.0)), (0.5, 0.5)) == (0.5, 0.5)
    assert mean_direction_coefficients(((0.0,) * 3,) * 3, (0.2, 0.3, 0.5)) == (0.2, 0.3, 0.5)


def karcher_on_vectors(vectors, weights, max_iter, tol):
    """The iteration written on the vectors themselves."""
    norms = np.linalg.norm(vectors, axis=1)
    taking = norms > 0
    units, shares = vectors[taking] / norms[taking, None], weights[taking] / weights[taking].sum()
    mean = shares @ units
    mean = mean / np.linalg.norm(mean)
    for _ in range(max_iter):
        tangent = np.zeros_like(mean)
        for unit, share in zip(units, shares, strict=True):
            theta = angle(mean, unit)
            if theta >= tol:
                tangent += share * theta / math.sin(theta) * (unit - np.clip(mean @ unit, -1, 1) * mean)
        length = np.linalg.norm(tangent)
        if length < tol:
            break
        mean = math.cos(length) * mean + math.sin(length) * tangent / length
        mean = mean / np.linalg.norm(mean)
    return mean * (weights / weights.sum() @ norms)


@given(MANY, st.integers(1, 12))
def test_karcher_coefficients_follow_the_iteration_on_vectors(vectors, max_iter):
    norms = np.linalg.norm(vectors, axis=1)
    assume(((norms == 0) | (norms > 0.1)).all() and norms.max() > 0)
    units = vectors[norms > 0] / norms[norms > 0, None]
    weights = np.array([0.3, 0.5, 0.4, 0.2][: len(vectors)])
    assume(np.linalg.norm(weights[norms > 0] @ units) > 0.3 and (units @ units.T).min() > -0.5)
    found = np.array(karcher_coefficients(gram_of(vectors), weights, max_iter=max_iter, tol=1e-5)) @ vectors
    np.testing.assert_allclose(found, karcher_on_vectors(vectors, weights, max_iter, 1e-5), atol=2e-5)


def test_karcher_of_two_is_half_way():
    vectors = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    half = 1.5 * math.sqrt(0.5)
    np.testing.assert_allclose(
        np.array(karcher_coefficients(gram_of(vectors), (1, 1), max_iter=10, tol=1e-9)) @ vectors,
        [half, half, 0],
        atol=1e-12,
    )


def test_karcher_without_a_direction():
    assert karcher_coefficients(((0.0, 0.0), (0.0, 0.0)), (1, 1), max_iter=10, tol=1e-5) == (0.0, 0.0)
    found = karcher_coefficients(((1.0, -1.0), (-1.0, 1.0)), (1, 1), max_iter=10, tol=1e-5)
    assert found == pytest.approx((1.0, 0.0))
    small = karcher_coefficients(((1e-12, 0.0), (0.0, 4.0)), (1, 1), max_iter=10, tol=1e-5, floor=1e-5)
    assert small == pytest.approx((0.0, (2 + 1e-6) / 2 / 2))
