"""Heavy hitters and the newest: eviction by accumulated attention.

Sources: H2O (arXiv:2306.14048); official code FMInference/H2O.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from solera.inference.kv.cards import cache_method
from solera.inference.kv.contract import CacheMethod, Entries, Goal, column
from solera.inference.kv.selecting import ages, keep_best
from solera.registry.annotations import Range


@cache_method("h2o", merges=False, paper="2306.14048", code="github.com/FMInference/H2O")
def h2o(heavy: Annotated[float, Range(0, 1)] = 0.5) -> CacheMethod:
    """Keep the newest entries, and of the others those that got the most attention so far.

    Args:
        heavy: share of the budget that goes to heavy hitters; the rest goes to the newest.

    Differs:
        The official code holds shares of the prompt's length for good; here the budget grows with the text.
        The official code hides what it drops from the attention; here its memory is free.
        Heads that share keys (grouped queries) are averaged.

    Example:
        >>> x, scores = torch.zeros(1, 1, 6, 2), torch.tensor([[[0.1, 3.0, 0.2, 2.0, 0.5, 0.1]]])
        >>> h2o(0.5).reduce(Entries(x, x, torch.arange(6)[None, None], scores), Goal((4,), (6,))).places
        tensor([[[1, 3, 4, 5]]])
    """

    def reduce(entries: Entries, goal: Goal) -> Entries:
        return keep_best(entries, heavy_first(entries, [k - round(heavy * k) for k in goal.keep]), goal)

    return CacheMethod(reduce)


def heavy_first(entries: Entries, recent: list[int]) -> Tensor:
    """Priorities: the attention that entries got, and infinite for the newest `recent` of each row."""
    assert entries.scores is not None, "asked for by the method"
    newest = ages(entries.valid) < column(tuple(recent), entries.places)
    return entries.scores.masked_fill(newest, torch.inf)
