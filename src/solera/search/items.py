"""Parts of tasks: a few of their items."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from solera.checkpoints.identity import hasher
from solera.errors import BadParameter
from solera.evaluate.contract import Measured, Task
from solera.search.contract import Items


def part_of(task: Task, places: Sequence[int]) -> Task:
    """A task of some items of another, in the given order. A task that cannot be parted is measured whole.

    Example:
        >>> task = Task("sign", "d", 3, "accuracy", lambda module: {"accuracy": [1.0, 0.0, 1.0]})
        >>> part_of(task, [2, 1]).measure(None)
        {'accuracy': [1.0, 0.0]}
    """
    kept = tuple(places)
    measure: Callable[[Any], Measured] = partial(_picked, task.measure, kept) if task.part is None else task.part(kept)
    digest = str(hasher().update(f"{task.data} {kept}".encode()).hexdigest())
    return replace(task, data=digest, items=len(kept), measure=measure, part=None)


def _picked(measure: Callable[[Any], Measured], places: Sequence[int], module: Any) -> dict[str, list[float]]:
    return {metric: [each[place] for place in places] for metric, each in measure(module).items()}


def rounds(counts: Mapping[str, int], shares: Sequence[float], seed: int) -> tuple[Items, ...]:
    """Random sets of items that have none in common: up to the first share of every task, from there to the next, ...

    Args:
        counts: task -> its items.
        shares: ascending, in (0, 1].
        seed: of the draw.

    Raises:
        BadParameter: the shares are not as they should be, or a set would be empty.

    Example:
        >>> few, rest = rounds({"sign": 8}, (0.25, 1.0), seed=0)
        >>> len(few["sign"]), len(rest["sign"]), len({*few["sign"], *rest["sign"]})
        (2, 6, 8)
    """
    if not shares or list(shares) != sorted(set(shares)) or not 0 < shares[0] <= shares[-1] <= 1:
        raise BadParameter("The shares of items are not usable.", got=list(shares), want="ascending, in (0, 1]")
    orders = {name: _order(count, f"{seed}/{name}") for name, count in counts.items()}
    cuts = {name: [0, *(max(1, round(share * count)) for share in shares)] for name, count in counts.items()}
    for name, ends in cuts.items():
        if len(set(ends)) < len(ends):
            raise BadParameter("There are too few items for these shares.", where=name, got=counts[name])
    return tuple(
        {name: tuple(sorted(order[cuts[name][k] : cuts[name][k + 1]])) for name, order in orders.items()}
        for k in range(len(shares))
    )


def _order(count: int, name: str) -> list[int]:
    places = list(range(count))
    random.Random(name).shuffle(places)  # noqa: S311 - a sample, no secret
    return places
