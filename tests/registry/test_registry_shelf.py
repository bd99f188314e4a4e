"""Shelves: makers with cards of their own kind, registered, found and made."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from solera.errors import BadParameter, SoleraError, UnknownName
from solera.registry import Parameter, Range
from solera.registry.shelf import Facts, Shelf


@dataclass(frozen=True, slots=True)
class Label:
    name: str
    target: str
    summary: str
    parameters: tuple[Parameter, ...]
    noun: str = "blend"

    def parameter(self, name: str) -> Parameter | None:
        return next((each for each in self.parameters if each.name == name), None)


def shelf() -> Shelf[Label]:
    made = Shelf[Label]("blend", {"far": "solera.no_such_module"})

    @made.register("half", lambda facts: Label("half", facts.target, facts.summary, facts.parameters))
    def half(share: Annotated[float, Range(0.0, 1.0)] = 0.5) -> float:
        """Take a share.

        Args:
            share: of the whole.
        """
        return share

    return made


def test_a_maker_is_described_by_what_it_says_and_made_with_checked_values():
    found = shelf()
    assert found.card("half").summary == "Take a share."
    assert found.card("half").parameter("share") is not None
    assert found.make("half") == 0.5
    assert found.make("half", {"share": 0.25}) == 0.25
    with pytest.raises(BadParameter, match="share"):
        found.make("half", {"share": 2.0})


def test_names_are_those_built_in_first_and_nothing_is_imported_to_list_them():
    assert [*shelf()] == ["far", "half"]


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(UnknownName, match="no blend `hlaf`") as caught:
        shelf().card("hlaf")
    assert "half" in str(caught.value)


def test_a_name_is_not_taken_twice_by_different_functions():
    found = shelf()

    def other() -> float:
        """Another."""
        return 1.0

    def card_of(facts: Facts) -> Label:
        return Label("half", facts.target, facts.summary, facts.parameters)

    with pytest.raises(SoleraError, match="Blend `half` is registered twice"):
        found.register("half", card_of)(other)
