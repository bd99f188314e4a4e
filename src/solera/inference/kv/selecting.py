"""Which entries stay: order by age, and the best by a priority."""

from __future__ import annotations

import torch
from torch import Tensor

from solera.inference.kv.contract import EMPTY, Entries, Goal, column


def ages(valid: Tensor) -> Tensor:
    """How many entries came after each one.

    Shape: (rows, heads, slots) -> the same.

    Example:
        >>> ages(torch.tensor([[[False, True, True, True]]]))[0, 0, 1:]
        tensor([2, 1, 0])
    """
    return valid.flip(-1).cumsum(-1).flip(-1) - valid.long()


def ranks(valid: Tensor) -> Tensor:
    """How many entries came before each one.

    Example:
        >>> ranks(torch.tensor([[[False, True, True, True]]]))[0, 0, 1:]
        tensor([0, 1, 2])
    """
    return valid.cumsum(-1) - valid.long()


def keep_best(entries: Entries, priority: Tensor, goal: Goal) -> Entries:
    """Keep the entries of highest priority, each head for itself; of equal ones the earlier.

    Args:
        entries: what is there.
        priority: any numbers, infinite ones among them, (rows, heads, slots).
        goal: how many stay.

    Example:
        >>> one = torch.zeros(1, 1, 4, 2)
        >>> four = Entries(one, one, torch.arange(4)[None, None])
        >>> keep_best(four, torch.tensor([[[3.0, 1.0, 2.0, 9.0]]]), Goal((2,), (4,))).places
        tensor([[[0, 3]]])
    """
    valid = entries.valid
    order = priority.masked_fill(~valid, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    place = torch.arange(valid.shape[-1], device=valid.device)
    best = (place < column(goal.keep, place)).expand_as(valid)
    chosen = torch.zeros_like(valid).scatter(-1, order, best) & valid
    index = torch.where(chosen, place, EMPTY).sort(-1).values
    return take(entries, index[..., -max(goal.keep) :])


def take(entries: Entries, index: Tensor) -> Entries:
    """The slots that are named; `EMPTY` gives an empty one.

    Args:
        entries: what is there.
        index: (rows, heads, new slots).
    """
    there = index.clamp(min=0)

    def wide(source: Tensor) -> Tensor:
        return source.gather(2, there[..., None].expand(*there.shape, source.shape[-1]))

    def flat(source: Tensor | None) -> Tensor | None:
        return None if source is None else source.gather(2, there).masked_fill(index == EMPTY, 0)

    places = entries.places.gather(2, there).masked_fill(index == EMPTY, EMPTY)
    return Entries(wide(entries.keys), wide(entries.values), places, flat(entries.scores), flat(entries.votes))
