"""What is measured and what comes of it: Task and Score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Split = Literal["validation", "test"]
"""Parameters are tuned on `validation`; figures are given for `test`; no item is in both."""

Group = Literal["held-in", "unseen", "corrupted"]
"""Tasks that experts were trained for, tasks that none saw, and trained tasks on damaged inputs."""

Measured = Mapping[str, Sequence[float]]
"""Metric -> one number per item, in the order of the items."""


@dataclass(frozen=True, slots=True)
class Task:
    """A set of items and a way to score a model on each of them.

    Attributes:
        name: unique in its testbed, such as ``rotated`` or ``rotated/noise``.
        data: digest of the items (inputs and answers) that `measure` uses.
        items: how many there are.
        metric: the headline, a key of what `measure` gives.
        measure: model (a `torch.nn.Module` in eval mode) -> numbers per item and metric. It draws nothing at random
            and leaves the model as it was.
        higher: whether more is better.
        expert: the expert trained for it, by which scores are normalised; None where there is none.
        part: places of items -> a `measure` of these items alone, in that order; None where a task is one piece.
    """

    name: str
    data: str
    items: int
    metric: str
    measure: Callable[[Any], Measured]
    split: Split = "test"
    group: Group = "held-in"
    higher: bool = True
    expert: str | None = None
    part: Callable[[Sequence[int]], Callable[[Any], Measured]] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of one model on one task: a record for tables, caches and catalogs.

    `error` is the standard error of the mean over items. `each` holds the number of every item, for paired tests; it
    may be empty where a record is only shown.
    """

    model: str
    task: str
    data: str
    metric: str
    value: float
    error: float
    items: int
    split: str = "test"
    group: str = "held-in"
    higher: bool = True
    seed: int = 0
    seconds: float = 0.0
    dtype: str = "float32"
    version: str = ""
    time: str = ""
    each: tuple[float, ...] = ()


def mean_and_error(numbers: Sequence[float]) -> tuple[float, float]:
    """Mean, and standard error of the mean (0 for fewer than two numbers).

    Example:
        >>> mean_and_error([1.0, 0.0, 1.0, 0.0])
        (0.5, 0.28867513459481287)
    """
    n = len(numbers)
    mean = math.fsum(numbers) / n if n else math.nan
    if n < 2:
        return mean, 0.0
    return mean, math.sqrt(math.fsum((x - mean) ** 2 for x in numbers) / (n - 1) / n)
