"""An annotation becomes a parameter."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import pytest

from solera.errors import SoleraError
from solera.registry import Card, Parameter, PerModel, Range, Share, Weight
from solera.registry.annotations import read_parameters, recipe_name
from solera.registry.samples import sample, unusable


def taken(
    t: Annotated[float, Range(0, 1)],
    weight: PerModel[Weight] = 1.0,
    density: PerModel[Share] = 0.2,
    *,
    rounds: Annotated[int, Range(1)] = 10,
    vote: Literal["mass", "count"] = "mass",
    rescale: bool = False,
    lambda_: float = 1.0,
    limit: PerModel[Annotated[float, Range(0, open_low=True)]] | None = None,
):
    """Signature only."""


CARD = Card(*["m", "a:m", "", "delta >> delta", "element", "", "", "none", (1, None), True, "exact", False, 1, ()])
EXPECTED = (
    Parameter("t", "float", required=True, low=0, high=1, doc="where"),
    Parameter("weight", "float", 1.0, per_model=True),
    Parameter("density", "float", 0.2, per_model=True, low=0, high=1, open_low=True),
    Parameter("rounds", "int", 10, low=1),
    Parameter("vote", "choice", "mass", choices=("mass", "count")),
    Parameter("rescale", "bool", default=False),
    Parameter("lambda", "float", 1.0),
    Parameter("limit", "float", None, per_model=True, low=0, open_low=True),
)


def test_every_kind_is_read():
    assert read_parameters(taken, {"t": "where"}) == EXPECTED


def test_names_lose_their_underscore():
    assert recipe_name("lambda_") == "lambda"
    assert recipe_name("scale") == "scale"


def no_annotation(t=1): ...
def text(t: str = ""): ...
def many(*t: float): ...
def numbers(t: Literal[1, 2] = 1): ...
def either(t: float | bool = 1.0): ...


@pytest.mark.parametrize("function", [no_annotation, text, many, numbers, either])
def test_an_unusable_annotation_is_named(function):
    with pytest.raises(SoleraError, match=rf"annotation(.|\n)*parameter `t` of {__name__}:{function.__name__}"):
        read_parameters(function, {})


def test_a_default_outside_its_own_range_is_refused():
    def wrong(density: Share = 0.0): ...

    with pytest.raises(SoleraError, match=r"got:   0.0\n  want:  a number in \(0, 1\]"):
        read_parameters(wrong, {})


@pytest.mark.parametrize("parameter", EXPECTED, ids=lambda p: p.name)
def test_samples_are_usable_and_unusable_ones_are_not(parameter):
    value = sample(parameter)
    assert value is None or parameter.wrong(value) == ""
    assert unusable(parameter)
    for bad in unusable(parameter):
        assert parameter.wrong(bad) != ""


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 10**400, "1", True, None, [], [1.0], {}])
def test_no_number(bad):
    assert Parameter("t", "float", required=True).wrong(bad)


def test_none_is_usable_where_it_is_the_default():
    assert Parameter("t", "float").wrong(None) == ""
    assert Parameter("t", "float", 1.0).wrong(None)
    assert Parameter("t", "float", per_model=True).wrong([None, 1.0]) == ""


def test_per_model_values_are_checked_one_by_one():
    density = Parameter("density", "float", per_model=True, low=0, high=1)
    assert density.wrong([0.5, 1]) == ""
    assert density.wrong((0.5, 2)) == "a number in [0, 1], for all models or for each"
    assert density.wrong([])


def test_card_finds_its_parameters():
    card = replace(CARD, parameters=EXPECTED)
    assert card.parameter("vote") == EXPECTED[4]
    assert card.parameter("nothing") is None
