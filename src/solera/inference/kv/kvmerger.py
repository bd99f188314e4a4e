"""Neighbours with similar keys become one entry: weighted by a Gaussian kernel around the one most attended to.

Sources: KVMerger (arXiv:2407.08454); no official code is known.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from solera.inference.kv.cards import cache_method
from solera.inference.kv.contract import EMPTY, CacheMethod, Entries, Goal, column
from solera.inference.kv.h2o import heavy_first
from solera.inference.kv.selecting import ages, keep_best
from solera.registry.annotations import Positive, Range

Sigma = Literal["fixed", "adaptive"]
Rule = Literal["budget", "threshold"]
Size = Literal["values", "attention", "none"]

PAPER = ((0.35, 0.08, 0.02), (0.5, 0.17, 0.12))
"""(budget, share of the tokens that are newest, share that are heavy hitters): what the paper leaves unmerged."""

GRID = 2**16
"""Cosines are compared in steps of 1 / GRID: runs of one token have equal ones, and rounding must not choose."""


@cache_method("kvmerger", merges=True, paper="2407.08454")
def kvmerger(
    sigma: Positive = 5.0,
    *,
    width: Sigma = "fixed",
    rule: Rule = "budget",
    epsilon: Annotated[float, Range(-1, 1)] = 0.75,
    size: Size = "values",
    recent: Annotated[float, Range(0, 1)] | None = None,
    heavy: Annotated[float, Range(0, 1)] | None = None,
) -> CacheMethod:
    """Join runs of neighbouring entries whose keys are alike; keep the newest and the heavy hitters as they are.

    Sets: runs of neighbours with cos(k_i, k_i+1) above a threshold, after the rotation. The pivot p of a set is its
    most attended entry; g_i = exp(-|k_p - k_i|^2 / (2 sigma^2)), w = g / sum g, k' = sum w k, v' = |set| sum w v. A
    merged entry has the pivot's position.

    Args:
        sigma: width of the kernel, in the length of keys.
        width: of the kernel: ``fixed``, or ``adaptive``: of each set the mean distance from the pivot over sqrt 2.
        rule: ``budget`` sets the threshold of each head to meet the budget; ``threshold`` joins all above `epsilon`,
            and more where that is not enough.
        epsilon: the threshold of the rule ``threshold``.
        size: how a set counts: ``values`` are multiplied by its size (the paper's rule); ``attention``, the logarithm
            of the size is added to its logit; ``none``, as one token.
        recent: share of the tokens so far whose newest stay unmerged; not set: the paper's, by budget.
        heavy: share of the tokens so far that stay unmerged as heavy hitters; not set: the paper's, by budget.

    Differs:
        The paper's threshold is 0.75 for all; here by default that of each head which meets the budget exactly.
        The printed rule for sigma refers to itself and stays below 0.71; 5 is what the authors say comes out best.
        The paper leaves the first two layers and the last unmerged, beyond the budget: name them as `spare`.
        Between and outside budgets of 35 and 50 % the unmerged shares are interpolated. reading: ours.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])[None, None]
        >>> four = Entries(x, x, torch.arange(4)[None, None], torch.ones(1, 1, 4))
        >>> kvmerger(recent=0, heavy=0).reduce(four, Goal((3,), (4,))).values[0, 0]
        tensor([[2., 0.],
                [0., 1.],
                [1., 0.]])
    """

    def reduce(entries: Entries, goal: Goal) -> Entries:
        newest, most = _unmerged(goal, recent, heavy)
        fixed = _fixed(entries, newest, most)
        need = (entries.counts - column(goal.keep, entries.places)[..., 0]).clamp(min=0)
        joined = joins(entries, fixed, need, epsilon if rule == "threshold" else None)
        merged = join(entries, joined, None if width == "adaptive" else sigma, size)
        short = bool((merged.counts > column(goal.keep, entries.places)[..., 0]).any())
        return keep_best(merged, heavy_first(merged, newest), goal) if short else merged

    return CacheMethod(reduce, votes=size == "attention")


def unmerged_shares(budget: float) -> tuple[float, float]:
    """Shares of the tokens that stay unmerged at a budget: newest, heavy hitters.

    Example:
        >>> unmerged_shares(0.5), unmerged_shares(0.35)
        ((0.17, 0.12), (0.08, 0.02))
    """
    (low, *small), (high, *large) = PAPER
    if not low < budget < high:
        edge, shares = (low, small) if budget <= low else (high, large)
        scale = 1.0 if budget == edge else budget / edge
        return shares[0] * scale, shares[1] * scale
    t = (budget - low) / (high - low)
    return (1 - t) * small[0] + t * large[0], (1 - t) * small[1] + t * large[1]


def _unmerged(goal: Goal, recent: float | None, heavy: float | None) -> tuple[list[int], list[int]]:
    """Newest and heavy entries of each row, few enough for the rest to reach the goal by joining neighbours."""
    newest, most = [], []
    for keep, seen in zip(goal.keep, goal.seen, strict=True):
        shares = unmerged_shares(min(1.0, keep / max(seen, 1)))
        new = round(seen * (shares[0] if recent is None else recent))
        newest.append(min(new, keep - 1))
        top = round(seen * (shares[1] if heavy is None else heavy))
        most.append(min(top, (keep - 1 - newest[-1]) // 2))
    return newest, most


def _fixed(entries: Entries, newest: list[int], most: list[int]) -> Tensor:
    """Which entries stay as they are."""
    valid, scores = entries.valid, entries.scores
    assert scores is not None, "asked for by the method"
    new = valid & (ages(valid) < column(tuple(newest), valid))
    order = scores.masked_fill(~valid | new, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    place = torch.arange(valid.shape[-1], device=valid.device)
    top = torch.zeros_like(valid).scatter(-1, order, (place < column(tuple(most), valid)).expand_as(valid))
    return new | (top & valid)


def joins(entries: Entries, fixed: Tensor, need: Tensor, epsilon: float | None) -> Tensor:
    """Which entries are joined with the one before them.

    Args:
        entries: what is there.
        fixed: entries that stay as they are.
        need: fewest joins of each head, (rows, heads).
        epsilon: joins all pairs above it too.

    Returns:
        (rows, heads, slots), bool.
    """
    keys = torch.nn.functional.normalize(entries.keys.float(), dim=-1)
    near = ((keys[:, :, 1:] * keys[:, :, :-1]).sum(-1) * GRID).round() / GRID
    free = entries.valid & ~fixed
    fine = free[..., 1:] & free[..., :-1]
    order = near.masked_fill(~fine, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    rank = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    best = torch.zeros_like(fine).scatter(-1, order, rank < need[..., None])
    more = best if epsilon is None else best | ((near > epsilon) & (need[..., None] > 0))
    return torch.nn.functional.pad(more & fine, (1, 0))


def join(entries: Entries, joined: Tensor, sigma: float | None, size: Size = "values") -> Entries:
    """Merge every run of joined entries.

    Args:
        entries: what is there.
        joined: which entries belong to the set of the one before.
        sigma: width of the kernel; None: of each set its own.
        size: how a set counts.
    """
    scores = entries.scores
    assert scores is not None, "asked for by the method"
    slot, slots = _slots(entries.valid, joined)
    sets = _Sets(slot, slots)
    pivot = sets.first(scores == sets.over(sets.most(scores)))
    weights = _kernel(entries.keys.float(), sets, pivot, sigma)
    votes = entries.votes if entries.votes is not None else torch.ones_like(scores)
    weights = weights * votes if size == "attention" else weights
    weights = weights / sets.over(sets.sum(weights))
    values = sets.sum(weights[..., None] * entries.values.float())
    if size == "values":
        values = values * sets.sum(torch.ones_like(scores))[..., None]
    return Entries(
        sets.out(sets.sum(weights[..., None] * entries.keys.float())).to(entries.keys.dtype),
        sets.out(values).to(entries.values.dtype),
        sets.out(entries.places.gather(2, pivot.clamp(max=slot.shape[-1] - 1)).masked_fill(sets.empty, EMPTY)),
        sets.out(sets.sum(scores)),
        sets.out(sets.sum(votes)) if size == "attention" else None,
    )


def _slots(valid: Tensor, joined: Tensor) -> tuple[Tensor, int]:
    """New slot of every entry, flush right; what is empty goes to one slot more."""
    starts = valid & ~joined
    counts = starts.sum(-1, keepdim=True)
    slots = int(counts.max())
    return torch.where(valid, slots - counts + starts.cumsum(-1) - 1, slots), slots


class _Sets:
    """Sums over sets, and what belongs to the set of every entry."""

    def __init__(self, slot: Tensor, slots: int) -> None:
        self.slot, self.slots = slot, slots
        self.empty = self.sum(torch.ones(slot.shape, device=slot.device)) == 0

    def sum(self, source: Tensor) -> Tensor:
        index = self.slot.view(*self.slot.shape, *[1] * (source.dim() - 3)).expand_as(source)
        return source.new_zeros(*source.shape[:2], self.slots + 1, *source.shape[3:]).scatter_add(2, index, source)

    def most(self, source: Tensor) -> Tensor:
        low = source.new_full((*source.shape[:2], self.slots + 1), -torch.inf)
        return low.scatter_reduce(2, self.slot, source, "amax")

    def first(self, which: Tensor) -> Tensor:
        """Of each set the first entry for which `which` holds."""
        end = which.shape[-1]
        place = torch.where(which, torch.arange(end, device=which.device), end)
        return place.new_full((*which.shape[:2], self.slots + 1), end).scatter_reduce(2, self.slot, place, "amin")

    def over(self, each: Tensor) -> Tensor:
        """What a set has, for each of its entries."""
        return each.gather(2, self.slot)

    def out(self, each: Tensor) -> Tensor:
        """Without the slot of what is empty."""
        return each[:, :, : self.slots]


def _kernel(keys: Tensor, sets: _Sets, pivot: Tensor, sigma: float | None) -> Tensor:
    """exp(-|k_p - k_i|^2 / (2 sigma^2)) for every entry and the pivot of its set."""
    of = sets.over(pivot).clamp(max=keys.shape[2] - 1)
    square = (keys - keys.gather(2, of[..., None].expand_as(keys))).square().sum(-1)
    if sigma is not None:
        return torch.exp(-square / (2 * sigma**2))
    mean = sets.over(sets.sum(square.sqrt()) / sets.sum(torch.ones_like(square)).clamp(min=1))
    return torch.exp(-square / mean.square().clamp(min=1e-12))  # 2 sigma^2 = mean^2
