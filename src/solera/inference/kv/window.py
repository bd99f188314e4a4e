"""The newest entries and a few of the oldest: eviction that looks at nothing, the floor for every other method.

Sources: StreamingLLM (arXiv:2309.17453).
"""

from __future__ import annotations

from typing import Annotated

import torch

from solera.inference.kv.cards import cache_method
from solera.inference.kv.contract import CacheMethod, Entries, Goal, column
from solera.inference.kv.selecting import keep_best, ranks
from solera.registry.annotations import Range


@cache_method("window", merges=False, paper="2309.17453", code="github.com/mit-han-lab/streaming-llm")
def window(sinks: Annotated[int, Range(0)] = 4) -> CacheMethod:
    """Keep the first `sinks` entries and the newest; drop what lies between.

    Args:
        sinks: entries at the beginning that stay; 0 keeps the newest alone.

    Differs:
        StreamingLLM counts positions within the cache; here every entry keeps the position of its token.

    Example:
        >>> x = torch.zeros(1, 1, 6, 2)
        >>> window(1).reduce(Entries(x, x, torch.arange(6)[None, None]), Goal((3,), (6,))).places
        tensor([[[0, 4, 5]]])
    """

    def reduce(entries: Entries, goal: Goal) -> Entries:
        first = ranks(entries.valid) < column(tuple(min(sinks, keep - 1) for keep in goal.keep), entries.places)
        return keep_best(entries, entries.places.float().masked_fill(first, torch.inf), goal)

    return CacheMethod(reduce, scores=False)
