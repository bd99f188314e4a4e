"""Settings: how gradients and cases are read and evaluated."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.errors import BadParameter
from solera.recipe.settings import as_setting, has_gradient, leaves, resolve
from solera.recipe.values import Case, Cases, Gradient

NUMBERS = st.floats(-10, 10, allow_nan=False)
POINTS = st.lists(NUMBERS, min_size=1, max_size=8).map(tuple)
POSITIONS = st.floats(0, 1)


@given(POINTS, POSITIONS)
def test_a_gradient_stays_between_its_points(points, position):
    got = resolve(Gradient(points), "x", position)
    assert min(points) - 1e-12 <= got <= max(points) + 1e-12


@given(POINTS)
def test_a_gradient_starts_and_ends_at_its_ends(points):
    assert resolve(Gradient(points), "x", 0.0) == points[0]
    assert resolve(Gradient(points), "x", 1.0) == points[-1]


@given(POINTS)
def test_a_gradient_meets_every_point(points):
    count = len(points)
    for k, point in enumerate(points):
        position = k / (count - 1) if count > 1 else 0.0
        assert math.isclose(resolve(Gradient(points), "x", position), point, abs_tol=1e-11)


@given(st.floats(-10, 10), st.floats(-10, 10), POSITIONS)
def test_two_points_make_a_line(first, last, position):
    assert resolve(Gradient((first, last)), "x", position) == pytest.approx((1 - position) * first + position * last)


@given(NUMBERS, POSITIONS)
def test_equal_points_are_a_constant(value, position):
    assert resolve(Gradient((value,) * 5), "x", position) == pytest.approx(value)


@given(POINTS, POSITIONS)
def test_a_gradient_backwards_is_the_mirror(points, position):
    mirrored = resolve(Gradient(points[::-1]), "x", 1 - position)
    assert mirrored == pytest.approx(resolve(Gradient(points), "x", position), abs=1e-9)


@pytest.mark.parametrize(
    ("points", "layers", "expected"),
    [
        ((0.0, 1.0), 5, [0, 0.25, 0.5, 0.75, 1]),
        ((1.0, 0.2, 0.6), 4, [1.0, 1 - 0.8 * 2 / 3, 0.2 + 0.4 / 3, 0.6]),
        ((0.3,), 3, [0.3, 0.3, 0.3]),
        ((False, True, True), 4, [False, False, True, True]),
    ],
)
def test_gradients_over_layers(points, layers, expected):
    got = [resolve(Gradient(points), "x", k / (layers - 1)) for k in range(layers)]
    assert got == pytest.approx(expected)


def test_boolean_points_step():
    got = resolve(Gradient((True, False)), "x", 0.9)
    assert got is True


CASES = Cases((Case("self_attn", 0.1), Case("attn", 0.2), Case("mlp", Gradient((0.0, 1.0))), Case("*", 0.9)))


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        ("model.layers.1.self_attn.q_proj.weight", 0.1),
        ("h.1.attn.c_attn.weight", 0.2),
        ("model.layers.1.mlp.up_proj.weight", 0.5),
        ("lm_head.weight", 0.9),
    ],
)
def test_the_first_case_that_fits_wins(tensor, expected):
    assert resolve(CASES, tensor, 0.5) == expected


def test_a_star_is_not_a_pattern():
    assert resolve(Cases((Case("*mlp", 0.1),)), "model.mlp.weight", 0.0) is None


@given(st.text(max_size=12), st.text(max_size=12))
def test_a_case_matches_any_part_of_the_name(part, name):
    found = resolve(Cases((Case(part, 1.0),)), name, 0.0)
    assert (found == 1.0) == (part in name or part == "*")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (0.5, 0.5),
        (True, True),
        ("kth", "kth"),
        ([1, 0.5], Gradient((1.0, 0.5))),
        ([True, False], Gradient((True, False))),
        ({"filter": "mlp", "value": 0.3}, Cases((Case("mlp", 0.3),))),
        ({"value": [1, 2]}, Cases((Case(None, Gradient((1.0, 2.0))),))),
        ([{"filter": None, "value": 1}], Cases((Case(None, 1),))),
    ],
)
def test_settings_are_read(raw, expected):
    assert as_setting(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        [1, "a"],
        [1, True],
        [[1], [2]],
        [{"value": 1}, 2],
        {},
        {"filter": 3, "value": 1},
        {"value": 1, "x": 2},
        {"value": [{"value": 1}]},
    ],
)
def test_what_is_no_setting_is_refused(raw):
    with pytest.raises(BadParameter):
        as_setting(raw)


def test_leaves_and_gradients_are_found_everywhere():
    assert leaves(CASES) == [0.1, 0.2, 0.0, 1.0, 0.9]
    assert has_gradient(CASES)
    assert not has_gradient(Cases((Case("a", 1.0),)))
