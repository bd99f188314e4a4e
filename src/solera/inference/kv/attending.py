"""Attention over a cache with a budget: which entries a query sees, and how much of it each entry gets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from solera.inference.kv.contract import EMPTY
from solera.inference.kv.layer import Arrival, KVLayer

BLOCK_BYTES = 1 << 22
"""Bytes of attention weights that are made at once where only their sums are wanted."""


def visible(
    layer: KVLayer, arrival: Arrival, first: int = 0, last: int | None = None, end: int | None = None
) -> Tensor:
    """Which entries the queries `first` to `last` see, of the first `end` slots.

    Shape: (rows, heads or 1, queries, slots), bool. Padding sees everything: nobody looks at what it finds.
    """
    assert layer.shelf is not None, "filled before"
    places = layer.shelf.entries.places[:, :, :end]
    keys = (places[:, :1] if layer.whole else places)[:, :, None]
    queries = arrival.places[:, None, first:last, None]
    seen = (keys != EMPTY) & (keys <= queries)
    if layer.window is not None:
        seen &= queries - keys < layer.window
    return seen | (queries == EMPTY)


def sees_all(layer: KVLayer, arrival: Arrival) -> bool:
    """A single query that sees every slot: no mask is needed."""
    if arrival.places.shape[1] > 1 or layer.holes:
        return False
    return layer.window is None or (not layer.whole and max(layer.seen) - 1 - layer.oldest < layer.window)


def logit_mask(layer: KVLayer, arrival: Arrival, like: Tensor, *, additive: bool) -> Tensor | None:
    """The mask of a forward pass in the form that attention functions take; None where all is seen.

    Args:
        layer: after the new tokens were added.
        arrival: these.
        like: queries, (rows, query heads, tokens, channels).
        additive: numbers to be added to logits, as eager attention needs; else True where a query sees.
    """
    assert layer.shelf is not None, "filled before"
    votes = layer.shelf.entries.votes if not layer.whole else None
    bias = None if votes is None else votes.clamp(min=1).log()[:, :, None].to(like.dtype)
    if sees_all(layer, arrival):
        return None if bias is None else bias.repeat_interleave(like.shape[1] // bias.shape[1], dim=1)
    seen = visible(layer, arrival)
    if additive or bias is not None:
        low = torch.zeros_like(seen, dtype=like.dtype).masked_fill(~seen, torch.finfo(like.dtype).min)
        seen = low if bias is None else low + bias
    return seen if seen.shape[1] == 1 else seen.repeat_interleave(like.shape[1] // seen.shape[1], dim=1)


def single(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float) -> tuple[Tensor, Tensor]:
    """Attention of one query for each row, and its weights, in one sweep over keys and one over values.

    Shape: query (rows, query heads, 1, channels), key and value (rows, heads, slots, channels) -> output
    (rows, 1, query heads, channels) and weights (rows, heads, query heads of each, slots), float32.
    """
    rows, heads = key.shape[:2]
    grouped = query.view(rows, heads, -1, query.shape[-1])
    logits = torch.matmul(grouped, key.transpose(2, 3)) * scaling
    if mask is not None:
        wide = mask.view(rows, -1, 1 if mask.shape[1] == 1 else grouped.shape[2], mask.shape[-1])
        logits = logits.masked_fill_(~wide, -torch.inf) if mask.dtype == torch.bool else logits.add_(wide)
    weights = torch.softmax(logits, -1, dtype=torch.float32)
    out = torch.matmul(weights.to(value.dtype), value)
    return out.reshape(rows, 1, query.shape[1], -1), weights


def of_weights(weights: Tensor, arrival: Arrival, heads: int) -> Tensor:
    """Sum over queries and mean over query heads of attention weights that were made anyway.

    Shape: (rows, query heads, queries, slots) -> (rows, heads, slots).
    """
    real = (arrival.places != EMPTY)[:, None, :, None]
    grouped = (weights.float() * real).sum(2)
    return grouped.view(grouped.shape[0], heads, -1, grouped.shape[-1]).mean(2)


def measured(query: Tensor, key: Tensor, layer: KVLayer, arrival: Arrival, scaling: float) -> Tensor:
    """The same sums where attention does not give its weights: made in blocks of queries, never all at once.

    Cost: the products of queries and keys once more, below the diagonal; `BLOCK_BYTES` of memory.
    """
    rows, heads, slots, _ = key.shape
    groups, tokens = query.shape[1] // heads, query.shape[2]
    first = max(0, tokens - layer.working.observe) if layer.working.observe else 0
    step = max(1, BLOCK_BYTES // (4 * rows * heads * groups * slots))
    total = torch.zeros(rows, heads, slots, device=key.device)
    for start in range(first, tokens, step):
        stop = min(start + step, tokens)
        end = slots - tokens + stop  # later keys are seen by nobody
        part = (query[:, :, start:stop] * scaling).reshape(rows, heads, -1, query.shape[-1])
        logits = torch.matmul(part, key[:, :, :end].transpose(2, 3)).float()
        total[:, :, :end] += _block(logits.view(rows, heads, groups, stop - start, end), layer, arrival, (start, stop))
    return total / groups


def _block(logits: Tensor, layer: KVLayer, arrival: Arrival, span: tuple[int, int]) -> Tensor:
    """Sums of the weights of some queries over them and over the query heads of a head."""
    assert layer.shelf is not None, "filled before"
    end, tokens = logits.shape[-1], span[1] - span[0]
    votes = layer.shelf.entries.votes if not layer.whole else None
    if votes is not None:
        logits += votes[:, :, None, None, :end].clamp(min=1).log()
    if layer.whole and layer.window is None and not layer.holes:  # only the last keys are hidden from some
        later = torch.ones(tokens, tokens, dtype=torch.bool, device=logits.device).triu(1)
        logits[..., -tokens:].masked_fill_(later, -torch.inf)
    else:
        logits.masked_fill_(~visible(layer, arrival, *span, end)[:, :, None], -torch.inf)
    weights = torch.softmax(logits, -1)
    if arrival.holes:
        weights *= arrival.places[:, None, None, span[0] : span[1], None] != EMPTY
    return weights.sum((2, 3))


def attended(
    layer: KVLayer,
    arrival: Arrival,
    tensors: tuple[Tensor, Tensor, Tensor],
    mask: Tensor | None,
    call: Any,
    scaling: float,
    *,
    fused: bool,
) -> tuple[Tensor, Tensor | None]:
    """Attention of one layer, after which the layer is brought back to its budget.

    Args:
        layer: after the new tokens were added.
        arrival: these.
        tensors: query, key, value as attention functions take them.
        mask: as `logit_mask` makes it, or the model's own.
        call: the model's own attention function: mask -> output and weights, or None for these.
        scaling: of the logits.
        fused: `call` gives no weights, and does nothing that `single` does not.
    """
    query, key, value = tensors
    asked = layer.working.method.scores and layer.budget is not None
    made: Tensor | None = None
    if asked and fused and query.shape[2] == 1 and not layer.whole:
        weights = None
        output, made = single(query, key, value, mask, scaling)
    else:
        output, weights = call(mask)
    with layer.working.clock("score"):
        scores = None
        if made is not None:
            scores = made.mean(2)
        elif asked and weights is not None:
            scores = of_weights(weights, arrival, key.shape[1])
        elif asked:
            scores = measured(query, key, layer, arrival, scaling)
        layer.note(scores)
    layer.settle()
    return output, weights
