"""Worked numbers of the methods, on entries alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from solera.errors import BadParameter, UnknownName
from solera.inference.kv import Entries, Goal, cache_card, cache_cards
from solera.inference.kv.cam import cam, poured
from solera.inference.kv.cards import build
from solera.inference.kv.h2o import h2o
from solera.inference.kv.kvmerger import join, joins, kvmerger, unmerged_shares
from solera.inference.kv.window import window

NAMES = ("cam", "h2o", "kvmerger", "window")


def entries(keys, values=None, scores=None, votes=None) -> Entries:
    """One row, one head."""
    k = torch.tensor(keys, dtype=torch.float32)[None, None]
    v = k.clone() if values is None else torch.tensor(values, dtype=torch.float32)[None, None]
    flat = torch.ones(k.shape[:3]) if scores is None else torch.tensor(scores, dtype=torch.float32)[None, None]
    return Entries(k, v, torch.arange(k.shape[2])[None, None], flat, votes)


def random_entries(rows=2, heads=3, slots=24, empty=5) -> Entries:
    """Several rows, the second with empty slots on the left."""
    draw = torch.Generator().manual_seed(7)
    keys, values = (torch.randn(rows, heads, slots, 4, generator=draw) for _ in range(2))
    places = torch.arange(slots).expand(rows, heads, slots).clone()
    places[1, :, :empty] = -1
    places[1, :, empty:] -= empty
    scores = torch.rand(rows, heads, slots, generator=draw).masked_fill(places < 0, 0)
    return Entries(keys, values, places, scores)


def attention(query: torch.Tensor, found: Entries) -> torch.Tensor:
    """What a query finds; entries count by their votes."""
    logits = found.keys @ query
    logits = logits if found.votes is None else logits + found.votes.log()
    weights = torch.softmax(logits.masked_fill(~found.valid, -torch.inf), -1)
    return (weights[..., None] * found.values).sum(2)


@pytest.mark.parametrize("name", NAMES)
def test_goal_is_met_and_order_kept(name) -> None:
    left = build(name).reduce(random_entries(), Goal((10, 7), (24, 19)))
    assert left.counts.amax(-1).tolist() == [10, 7]
    places = left.places.masked_fill(~left.valid, -1)
    assert (places.diff(dim=-1) >= 0).all()
    assert (places[..., -1:].flatten() == torch.tensor([23] * 3 + [18] * 3)).all()


@pytest.mark.parametrize("name", NAMES)
def test_row_within_its_goal_stays(name) -> None:
    before = random_entries()
    left = build(name).reduce(before, Goal((10, 19), (24, 19)))
    assert_close(left.keys[1], before.keys[1, :, 5:])
    assert_close(left.values[1], before.values[1, :, 5:])


@pytest.mark.parametrize("name", NAMES)
def test_rows_do_not_know_each_other(name) -> None:
    before, method = random_entries(), build(name)
    both = method.reduce(before, Goal((10, 7), (24, 19)))
    alone = Entries(*(part[1:, :, 5:] for part in (before.keys, before.values, before.places, before.scores)))
    own = method.reduce(alone, Goal((7,), (19,)))
    assert_close(both.values[1:, :, -7:], own.values)
    assert_close(both.places[1:, :, -7:], own.places)


def test_h2o_keeps_newest_and_heaviest() -> None:
    before = random_entries()
    left = h2o(0.5).reduce(before, Goal((8, 8), (24, 19)))
    newest = left.places[..., -4:]
    assert newest[0, 0].tolist() == [20, 21, 22, 23]
    best = before.scores[0, 0, :20].topk(4).indices.sort().values
    assert left.places[0, 0, :4].tolist() == best.tolist()


def test_window_keeps_sinks() -> None:
    left = window(2).reduce(random_entries(), Goal((5, 5), (24, 19)))
    assert left.places[1, 0].tolist() == [0, 1, 16, 17, 18]


def test_cam_sure_gives_all_away() -> None:
    """At p = 1 the sum of values grows by that of the entry; near the end fewer share it."""
    values, valid = torch.randn(1, 2, 6, 3), torch.ones(1, 2, 6, dtype=torch.bool)
    gates = torch.zeros_like(valid)
    gates[..., 1] = True
    out = poured(values, gates, valid, spread=8)
    assert_close(out[:, :, 2:].sum(2), values[:, :, 2:].sum(2) + values[:, :, 1])
    assert_close(out[:, :, 2] - values[:, :, 2], values[:, :, 1] / 4)


def test_cam_without_attention_is_eviction() -> None:
    before = random_entries()
    silent = before.but(scores=torch.where(before.places > 17, 1.0, 0.0))
    goal = Goal((8, 8), (24, 19))
    assert_close(cam(4, 2).reduce(silent, goal).values[0], window(2).reduce(silent, goal).values[0])


def test_cam_draws_by_seed() -> None:
    before, goal = random_entries(), Goal((8, 8), (24, 19))
    first, same, other = (cam(4, 2, seed).reduce(before, goal).values for seed in (1, 1, 2))
    assert_close(first, same, rtol=0, atol=0)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("sigma", "weights"), [(0.1, (0.274, 0.452, 0.274)), (1.0, (1 / 3 - 1e-3, 1 / 3 + 1e-3, 1 / 3 - 1e-3))]
)
def test_kvmerger_kernel(sigma, weights) -> None:
    """Keys (1,0), (1,.1), (1,.2), pivot in the middle: the merged key is (1, .1)."""
    one = entries([(1, 0), (1, 0.1), (1, 0.2)], [(1, 0, 0), (0, 1, 0), (0, 0, 1)], (0, 1, 0))
    left = join(one, torch.tensor([[[False, True, True]]]), sigma, "none")
    assert_close(left.values[0, 0, 0], torch.tensor(weights), atol=1.5e-3, rtol=0)
    assert_close(left.keys[0, 0, 0], torch.tensor((1, 0.1)))
    assert left.places.item() == 1


def test_kvmerger_micro_example() -> None:
    """Keys (3,4), (4,3), (6,8), pivot first, sigma 5; values count by the size of the set."""
    one = entries([(3, 4), (4, 3), (6, 8)], [(1, 0, 0), (0, 1, 0), (0, 0, 1)], (2, 1, 1))
    joined = torch.tensor([[[False, True, True]]])
    left = join(one, joined, 5.0, "values")
    assert_close(left.keys[0, 0, 0], torch.tensor((4.083, 4.571)), atol=1e-3, rtol=0)
    assert_close(left.values[0, 0, 0], torch.tensor((1.169, 1.123, 0.709)), atol=1e-3, rtol=0)
    assert left.scores.item() == 4
    own = join(one, joined, None, "none")
    assert_close(own.values[0, 0, 0], torch.tensor((0.606, 0.391, 0.003)), atol=1e-3, rtol=0)


def test_kvmerger_sets() -> None:
    """Cosines .8, .9, .5, .76, .74, .99 at 0.75: {0,1,2}, {3,4}, {5,6}."""
    angles = torch.tensor([0.8, 0.9, 0.5, 0.76, 0.74, 0.99]).acos().cumsum(0)
    keys = [(1.0, 0.0), *((math.cos(a), math.sin(a)) for a in angles.tolist())]
    one = entries(keys)
    joined = joins(one, torch.zeros(1, 1, 7, dtype=torch.bool), torch.tensor([[1]]), 0.75)
    assert joined[0, 0].tolist() == [False, True, True, False, True, False, True]


def test_kvmerger_adaptive_width_is_no_printed_rule() -> None:
    """The printed sigma, sum g / (sqrt 2 |set|), cannot exceed 0.71; at such a width little but the pivot is left."""
    g = torch.rand(100)
    assert (g.sum() / (math.sqrt(2) * len(g))).item() <= 1 / math.sqrt(2)
    one = entries([(3, 4), (4, 3), (6, 8)], [(1, 0, 0), (0, 1, 0), (0, 0, 1)], (2, 1, 1))
    left = join(one, torch.tensor([[[False, True, True]]]), 0.505, "none")
    assert_close(left.values[0, 0, 0], torch.tensor((0.98, 0.02, 0.0)), atol=3e-3, rtol=0)


@pytest.mark.parametrize("size", ["values", "none", "attention"])
def test_equal_keys_give_the_mean(size) -> None:
    one = entries([(1, 2)] * 3, [(3, 0), (0, 3), (3, 3)])
    left = join(one, torch.tensor([[[False, True, True]]]), 5.0, size)
    assert_close(left.keys[0, 0, 0], torch.tensor((1.0, 2.0)))
    assert_close(left.values[0, 0, 0], torch.tensor((2.0, 2.0)) * (3 if size == "values" else 1))


def test_identical_neighbours_change_nothing() -> None:
    """Where a set counts in the attention, merging what is equal is invisible, again and again."""
    pairs = random_entries(slots=8, empty=0)
    twice = Entries(
        *(part.repeat_interleave(3, 2) for part in (pairs.keys, pairs.values)),
        torch.arange(24).expand(2, 3, 24),
        torch.rand(2, 3, 24),
        torch.ones(2, 3, 24),
    )
    method = kvmerger(size="attention", recent=0, heavy=0)
    query = torch.randn(4)
    once = method.reduce(twice, Goal((14, 14), (24, 24)))
    more = method.reduce(once, Goal((8, 8), (24, 24)))
    assert more.counts.unique().tolist() == [8]
    assert more.votes.sum(-1).unique().tolist() == [24]
    assert_close(attention(query, once), attention(query, twice), atol=1e-5, rtol=1e-5)
    assert_close(attention(query, more), attention(query, twice), atol=1e-5, rtol=1e-5)


def test_protected_entries_stay() -> None:
    before = random_entries()
    left = kvmerger(recent=0.2, heavy=0.1).reduce(before, Goal((12, 12), (24, 19)))
    assert_close(left.keys[0, :, -5:], before.keys[0, :, -5:])
    top = before.scores[0, 0, :19].topk(2).indices
    assert set(top.tolist()) <= set(left.places[0, 0].tolist())


def test_unmerged_shares_between_and_outside() -> None:
    assert unmerged_shares(0.425) == pytest.approx((0.125, 0.07))
    assert unmerged_shares(1.0) == pytest.approx((0.34, 0.24))
    assert unmerged_shares(0.175) == pytest.approx((0.04, 0.01))


def test_cards() -> None:
    assert sorted(cache_cards()) == list(NAMES)
    assert cache_card("kvmerger").merges
    assert cache_card("kvmerger").deviations
    with pytest.raises(UnknownName, match="h2o"):
        cache_card("h20")
    with pytest.raises(BadParameter, match="sigma"):
        build("kvmerger", {"sigma": 0.0})
    with pytest.raises(BadParameter, match="sigma"):
        build("h2o", {"sigma": 1.0})
