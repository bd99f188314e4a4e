"""Objectives: numbers, more is better, made of the scores of tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from solera.errors import UnknownName, nearest


@dataclass(frozen=True, slots=True)
class Objective:
    """``mean`` of all tasks, the ``worst`` of all, or the mean of some, written ``a+b``.

    Example:
        >>> objective("a+b", ["a", "b", "c"]).of({"a": 0.5, "b": 1.0, "c": 0.0})
        0.75
    """

    text: str
    tasks: tuple[str, ...]

    def of(self, scores: Mapping[str, float]) -> float:
        """The number; NaN where a score is."""
        found = [scores[task] for task in self.tasks]
        if any(math.isnan(score) for score in found):
            return math.nan
        return min(found) if self.text == "worst" else math.fsum(found) / len(found)


def objective(text: str, tasks: Sequence[str]) -> Objective:
    """Read an objective.

    Raises:
        UnknownName: it names no task.
    """
    if text in ("mean", "worst"):
        return Objective(text, tuple(tasks))
    names = [name.strip() for name in text.split("+")]
    for name in names:
        if name not in tasks:
            raise UnknownName(
                "There is no such objective.", got=name, want="mean, worst, a task, or tasks joined by +",
                fix=nearest(name, ["mean", "worst", *tasks]),
            )  # fmt: skip
    return Objective(text, tuple(names))


def values_of(objectives: Iterable[Objective], scores: Mapping[str, float]) -> tuple[float, ...] | None:
    """All objectives, or None where one of them is no finite number."""
    found = tuple(each.of(scores) for each in objectives)
    return found if all(map(math.isfinite, found)) else None


def dominates(one: Sequence[float], two: Sequence[float]) -> bool:
    """Whether the first is nowhere worse and somewhere better.

    Example:
        >>> dominates((1.0, 0.5), (1.0, 0.4)), dominates((1.0, 0.3), (0.9, 0.4))
        (True, False)
    """
    return all(a >= b for a, b in zip(one, two, strict=True)) and tuple(one) != tuple(two)


def front(rows: Sequence[Sequence[float]]) -> list[int]:
    """Places of the rows that no other dominates, by their first number, best first; of equal rows the first.

    Example:
        >>> front([(1.0, 0.0), (0.5, 0.5), (0.4, 0.4), (0.0, 1.0), (0.5, 0.5)])
        [0, 1, 3]
    """
    seen: dict[tuple[float, ...], int] = {}
    for place, row in enumerate(rows):
        seen.setdefault(tuple(row), place)
    kept = [place for row, place in seen.items() if not any(dominates(other, row) for other in seen)]
    return sorted(kept, key=lambda place: [-value for value in rows[place]])


def hypervolume(rows: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume that rows dominate above a reference, of one to three objectives.

    Example:
        >>> hypervolume([(1.0, 0.5), (0.5, 1.0)], (0.0, 0.0))
        0.75
    """
    above = [tuple(row) for row in rows if all(a > b for a, b in zip(row, reference, strict=True))]
    if not above:
        return 0.0
    if len(reference) == 1:
        return max(row[0] for row in above) - reference[0]
    total, last = 0.0, reference[0]
    for edge in sorted({row[0] for row in above}):
        beyond = [row[1:] for row in above if row[0] >= edge]
        total += (edge - last) * hypervolume(beyond, reference[1:])
        last = edge
    return total
