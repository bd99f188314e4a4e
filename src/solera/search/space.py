"""What a search moves in: axes with ranges, and genomes, which are one value for each axis."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from solera.errors import BadParameter

Value = float | int | str | bool
Genome = tuple[Value, ...]
"""One value for each axis of a space, in its order."""
Unit = tuple[float, ...]
"""The same genome in the unit cube, where optimizers work."""

_DIGITS = 6
"""Significant decimals of a range that a value keeps: genomes are short, and print as they are."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One number or choice that is searched.

    Attributes:
        name: unique in its space. low, high: ends, both included. start: where a search begins.
        kind: ``float``, ``int`` (whole numbers from low to high) or ``choice`` (one of `choices`).
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    start: Value = 0.5
    kind: Literal["float", "int", "choice"] = "float"
    choices: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            BadParameter: it is empty, or the start is outside.
        """
        if self.kind == "choice":
            good = len(self.choices) > 1 and self.start in self.choices
            want = "two choices or more, the start among them"
        else:
            ends = (self.low, self.high)
            good = all(map(math.isfinite, ends)) and self.low < self.high and self.low <= float(self.start) <= self.high
            want = "low < high, the start between them"
        if not good:
            got = self.choices or f"{self.low} to {self.high}, start {self.start}"
            raise BadParameter(f"The range of `{self.name}` is not usable.", got=got, want=want)

    @property
    def values(self) -> int | None:
        """How many values there are; None for a float."""
        if self.kind == "choice":
            return len(self.choices)
        return int(self.high) - int(self.low) + 1 if self.kind == "int" else None

    def at(self, unit: float) -> Value:
        """The value at a place from 0 to 1.

        Example:
            >>> Axis("density", 0.1, 0.9).at(0.25), Axis("k", 1, 4, 1, "int").at(0.99)
            (0.3, 4)
        """
        inside = min(1.0, max(0.0, float(unit)))
        if self.values is None:
            rounded = round(self.low + inside * (self.high - self.low), _decimals(self.high - self.low))
            return min(self.high, max(self.low, rounded))
        place = min(self.values - 1, int(inside * self.values))
        return self.choices[place] if self.kind == "choice" else int(self.low) + place

    def unit(self, value: Value) -> float:
        """The place of a value; of a whole number or a choice the middle of its share.

        Example:
            >>> Axis("density", 0.1, 0.9).unit(0.5), Axis("k", 1, 2, 1, "int").unit(2)
            (0.5, 0.75)
        """
        if self.values is None:
            return (float(value) - self.low) / (self.high - self.low)
        place = self.choices.index(value) if self.kind == "choice" else int(value) - int(self.low)
        return (place + 0.5) / self.values

    def has(self, value: Value) -> bool:
        """Whether a value lies on the axis."""
        if self.kind == "choice":
            return value in self.choices
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (self.kind == "float" or value == int(value))  # type: ignore[operator, arg-type]


@dataclass(frozen=True, slots=True)
class Space:
    """The axes of a search.

    Example:
        >>> space = Space((Axis("a"), Axis("k", 1, 4, 2, "int")))
        >>> space.at((0.25, 0.9)), space.start
        ((0.25, 4), (0.5, 2))
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        """Check that there is something to search.

        Raises:
            BadParameter: there is no axis, or two of one name.
        """
        names = [axis.name for axis in self.axes]
        if not names:
            raise BadParameter("The space has no genes.", want="one gene or more", fix="name parameters: --vary weight")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise BadParameter("The space names a gene twice.", got=twice, want="each gene once")

    def __len__(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def start(self) -> Genome:
        """Where a search begins."""
        return tuple(axis.start for axis in self.axes)

    @property
    def digest(self) -> str:
        """Of names, ranges, choices and starts."""
        return hashlib.sha256(json.dumps([asdict(axis) for axis in self.axes], sort_keys=True).encode()).hexdigest()

    def at(self, unit: Sequence[float]) -> Genome:
        """The genome at a point of the unit cube."""
        return tuple(axis.at(place) for axis, place in zip(self.axes, unit, strict=True))

    def unit(self, genome: Genome) -> Unit:
        """The point of a genome."""
        return tuple(axis.unit(value) for axis, value in zip(self.axes, genome, strict=True))

    def check(self, genome: Sequence[Value]) -> Genome:
        """A genome of this space.

        Raises:
            BadParameter: it has another length, or a value outside its axis.
        """
        if len(genome) != len(self.axes):
            raise BadParameter("The genome is of another space.", got=f"{len(genome)} values", want=len(self.axes))
        for axis, value in zip(self.axes, genome, strict=True):
            if not axis.has(value):
                raise BadParameter(f"`{axis.name}` is outside its range.", got=value, want=f"{axis.low} to {axis.high}")
        return tuple(genome)

    def named(self, genome: Genome) -> dict[str, Value]:
        """Axis -> value."""
        return {axis.name: value for axis, value in zip(self.axes, genome, strict=True)}


def _decimals(width: float) -> int:
    """Decimals that give `_DIGITS` significant ones of a range."""
    return max(0, _DIGITS - math.ceil(math.log10(width)))
