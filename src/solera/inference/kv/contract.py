"""What a method for caches is: from the entries of one layer to fewer of them.

A method is a pure function over `Entries`; when it is called, with how many entries it may leave, what attention costs
and how positions are kept is the room's (`layer.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

EMPTY = -1
"""The place of a slot that holds no entry."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """What one layer holds. Slots are in the order of their places; empty ones may stand anywhere.

    Attributes:
        keys: after the rotation, (rows, heads, slots, channels). values: (rows, heads, slots, channels of values).
        places: position of an entry in its row, padding not counted, `EMPTY` for an empty slot; (rows, heads, slots).
        scores: attention that an entry got from all queries so far, (rows, heads, slots); None where no method asks.
        votes: for how many tokens an entry stands in the attention, same shape; None where each stands for one.
    """

    keys: Tensor
    values: Tensor
    places: Tensor
    scores: Tensor | None = None
    votes: Tensor | None = None

    @property
    def valid(self) -> Tensor:
        """Which slots hold an entry, (rows, heads, slots)."""
        return self.places != EMPTY

    @property
    def counts(self) -> Tensor:
        """Entries of each head, (rows, heads)."""
        return self.valid.sum(-1)

    def but(self, **changes: Tensor) -> Entries:
        """The entries with other tensors."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Goal:
    """How far entries are to be reduced.

    Attributes:
        keep: most entries that a row may be left with. A row that has no more stays as it is.
        seen: tokens of each row so far that a plain cache would hold.
        layer: which layer it is.
    """

    keep: tuple[int, ...]
    seen: tuple[int, ...]
    layer: int = 0


Reduce = Callable[[Entries, Goal], Entries]


@dataclass(frozen=True, slots=True)
class CacheMethod:
    """A method with its parameters bound.

    Attributes:
        reduce: entries and goal -> entries, at most `goal.keep` in each head of each row.
        scores: the attention that entries get is asked for. votes: entries may stand for several tokens.
    """

    reduce: Reduce
    scores: bool = True
    votes: bool = False


def column(numbers: tuple[int, ...], like: Tensor) -> Tensor:
    """One number for each row, to be compared with (rows, heads, slots).

    Example:
        >>> column((3, 4), torch.zeros(1)).shape
        torch.Size([2, 1, 1])
    """
    return torch.tensor(numbers, device=like.device)[:, None, None]
