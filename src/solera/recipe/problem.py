"""A fault in a recipe's value, before its place in a text is known."""

from __future__ import annotations

from dataclasses import dataclass

from solera.recipe.text import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a place of the value.

    `key` is the part of that place that is wrong or missing; `absent` the parameter that nobody gives there.
    """

    at: Path
    what: str
    key: str = ""
    got: str = ""
    want: str = ""
    fix: str = ""
    absent: str = ""
