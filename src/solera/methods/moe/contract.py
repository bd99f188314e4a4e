"""The contract of methods for experts: statistics in, groups out. A group becomes one expert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from solera.errors import BadParameter

Measured = Mapping[str, Mapping[str, Tensor]]
"""Kind of statistic -> leaf of a router's weight -> values."""


@dataclass(frozen=True, slots=True)
class Group:
    """Experts that become one.

    Attributes:
        members: numbers of experts, ascending. weights: of each in the sum; they add up to 1.
        leader: the member that stands for the group: others are put into its neurons' order.
    """

    members: tuple[int, ...]
    weights: tuple[float, ...]
    leader: int


Grouping = Mapping[str, tuple[Group, ...]]
"""Leaf of a router's weight -> its groups, in the order of their first members. An expert in none is left out."""

Align = Literal["none", "neurons"]


@dataclass(frozen=True, slots=True)
class ExpertMethod:
    """A method with its parameters bound.

    Attributes:
        statistics: kinds that it reads. group: (statistics, experts to keep in each layer) -> groups.
        align: whether neurons of a group's members are put into its leader's order before they are added.
        even: every layer keeps the number asked for; otherwise it is a mean over layers.
    """

    statistics: tuple[str, ...]
    group: Callable[[Measured, int], Grouping]
    align: Align = "none"
    even: bool = True


def weighted(members: Sequence[int], leader: int, usage: Sequence[float]) -> Group:
    """A group with weights in proportion to `usage`; equal ones where nobody of it is used.

    Example:
        >>> weighted([2, 0], 2, [3.0, 5.0, 1.0])
        Group(members=(0, 2), weights=(0.75, 0.25), leader=2)
    """
    ordered = tuple(sorted(members))
    whole = sum(usage[member] for member in ordered)
    weights = tuple(usage[m] / whole if whole > 0 else 1 / len(ordered) for m in ordered)
    return Group(ordered, weights, leader)


def single(expert: int) -> Group:
    """An expert that stays as it is.

    Example:
        >>> single(3)
        Group(members=(3,), weights=(1.0,), leader=3)
    """
    return Group((expert,), (1.0,), expert)


def in_order(groups: Sequence[Group]) -> tuple[Group, ...]:
    """By their first members, so that as many groups as experts leave the model as it is."""
    return tuple(sorted(groups, key=lambda group: group.members[0]))


def check_count(wanted: int, experts: int) -> None:
    """Whether so many experts can be kept.

    Raises:
        BadParameter: none, or more than there are.
    """
    if not 1 <= wanted <= experts:
        raise BadParameter("`experts` is not usable.", got=wanted, want=f"a whole number in [1, {experts}]")
