"""Errors that both ways of computing raise."""

from __future__ import annotations

from solera.errors import NonFinite
from solera.plan.tasks import Read


def not_finite(read: Read, index: int, value: float) -> NonFinite:
    """The error for an input element that is not finite."""
    return NonFinite(
        f"{read.name} holds a value that is not finite.",
        where=f"{read.model}, element {index}",
        got=value,
        want="finite numbers",
        fix="repair or leave out that model; `nonfinite: keep` in the recipe merges it as it is",
    )


def too_large(name: str) -> NonFinite:
    """The error for a result that float16 cannot hold."""
    return NonFinite(
        f"{name} does not fit float16.",
        got="a magnitude above 65504",
        want="at most 65504",
        fix="set output: {dtype: bfloat16} or float32",
    )
