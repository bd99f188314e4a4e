"""Cache merging: what falls out of the window gives its values to what follows it, by chance.

Sources: CaM (ICML 2024, OpenReview LCTmppB165); official code zyxxmu/cam.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from solera.inference.kv.cards import cache_method
from solera.inference.kv.contract import CacheMethod, Entries, Goal, column
from solera.inference.kv.selecting import ages, keep_best, ranks
from solera.ops.contract import Facts
from solera.ops.random import DRAW_BITS, draw_bits
from solera.registry.annotations import Range


@cache_method("cam", merges=True, paper="OpenReview LCTmppB165", code="github.com/zyxxmu/cam")
def cam(
    spread: Annotated[int, Range(1)] = 32, sinks: Annotated[int, Range(0)] = 4, seed: Annotated[int, Range(0)] = 0
) -> CacheMethod:
    """Keep the first entries and the newest; the value of each entry that goes is added to the next ones, by chance.

    An entry i goes with p = clamp(A_i / mean of A over the newest, 0, 1), A being the attention got so far; with that
    probability, drawn for each head, each of the next `spread` values gets v_i / spread. Keys are dropped.

    Args:
        spread: entries that share the value of one that goes.
        sinks: entries at the beginning that stay.
        seed: of the draws; a draw depends on it, on layer, head and position alone.

    Differs:
        Entries go in blocks, oldest first, not one at each step; at the end fewer follow and share the value.
        A is compared with the mean over the newest entries that stay, for all entries of a block.

    Example:
        >>> x, v = torch.zeros(1, 1, 4, 1), torch.tensor([8.0, 1.0, 1.0, 1.0]).view(1, 1, 4, 1)
        >>> sure = Entries(x, v, torch.arange(4)[None, None], torch.ones(1, 1, 4))
        >>> cam(2, 0).reduce(sure, Goal((3,), (4,))).values.flatten()
        tensor([5., 5., 1.])
    """

    def reduce(entries: Entries, goal: Goal) -> Entries:
        valid = entries.valid
        first = valid & (ranks(valid) < column(tuple(min(sinks, keep - 1) for keep in goal.keep), valid))
        newest = ages(valid) < column(goal.keep, valid) - first.sum(-1, keepdim=True)
        gone = valid & ~first & ~newest
        gates = gone & (_draws(entries, seed, goal.layer) < _chances(entries, newest & valid))
        values = poured(entries.values, gates, valid, spread)
        stays = entries.places.float().masked_fill(first, torch.inf)
        return keep_best(entries.but(values=values), stays, goal)

    return CacheMethod(reduce)


def poured(values: Tensor, gates: Tensor, valid: Tensor, spread: int) -> Tensor:
    """Give the value of every slot with an open gate to the `spread` slots after it, oldest first.

    Shape: values (rows, heads, slots, channels), gates and valid (rows, heads, slots) -> values.
    Cost: one small step for each slot from the first open gate to the last.
    """
    out = values.float().clone()
    open_ = gates.flatten(0, 1).any(0).nonzero().flatten().tolist()
    for slot in open_:
        after = slice(slot + 1, slot + 1 + spread)
        takers = valid[:, :, after]
        part = gates[:, :, slot] / takers.sum(-1).clamp(min=1)
        out[:, :, after] += (part[..., None] * takers)[..., None] * out[:, :, slot, None]
    return out.to(values.dtype)


def _chances(entries: Entries, newest: Tensor) -> Tensor:
    assert entries.scores is not None, "asked for by the method"
    mean = (entries.scores * newest).sum(-1, keepdim=True) / newest.sum(-1, keepdim=True).clamp(min=1)
    return (entries.scores / mean.clamp(min=1e-12)).clamp(0, 1)


def _draws(entries: Entries, seed: int, layer: int) -> Tensor:
    """Uniform in [0, 1): equal for equal seed, layer, head and position, whatever else is in the batch."""
    heads, last = entries.places.shape[1], int(entries.places.max()) + 1
    facts = Facts(shape=(last,), leaf=f"kv/{layer}", seed=seed)
    drawn = torch.stack([draw_bits(facts, str(head), 0, last) for head in range(heads)]).double() / 2.0**DRAW_BITS
    whole = drawn.to(entries.places.device).expand(entries.places.shape[0], -1, -1)
    return whole.gather(2, entries.places.clamp(min=0).long())
