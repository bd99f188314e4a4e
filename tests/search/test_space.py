"""Spaces: ranges, rounding, genomes and points."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.errors import BadParameter
from solera.search.space import Axis, Space

MIXED = Space(
    (
        Axis("a", -2.0, 3.0, 0.0),
        Axis("k", 1, 4, 2, "int"),
        Axis("vote", start="b", kind="choice", choices=("a", "b", "c")),
    )
)


@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_points_and_genomes(point):
    genome = MIXED.at(point)
    assert MIXED.check(genome) == genome
    assert MIXED.at(MIXED.unit(genome)) == genome
    assert json.loads(json.dumps(genome)) == list(genome)


def test_outside_the_cube_is_its_edge():
    assert MIXED.at((-1.0, 2.0, 9.0)) == (-2.0, 4, "c")


@pytest.mark.parametrize(
    "values",
    [
        {"low": 1.0, "high": 0.0},
        {"low": 0.0, "high": float("nan")},
        {"start": 2.0},
        {"kind": "choice", "choices": ("a",), "start": "a"},
    ],
)
def test_ranges_that_are_none(values):
    with pytest.raises(BadParameter, match="range of `a`"):
        Axis("a", **values)


def test_spaces_that_are_none():
    with pytest.raises(BadParameter, match="no genes"):
        Space(())
    with pytest.raises(BadParameter, match="twice"):
        Space((Axis("a"), Axis("a")))


@pytest.mark.parametrize("genome", [(0.0, 1), (9.0, 1, "a"), (0.0, 1.5, "a"), (0.0, 1, "d"), (True, 1, "a")])
def test_genomes_of_other_spaces(genome):
    with pytest.raises(BadParameter):
        MIXED.check(genome)


def test_digest_tells_spaces_apart():
    assert MIXED.digest == Space(MIXED.axes).digest
    assert MIXED.digest != Space((*MIXED.axes[:2], Axis("vote"))).digest
