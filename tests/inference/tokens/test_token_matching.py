"""Bipartite soft matching: the worked example, sums, means, what is protected, what is copied back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solera.errors import BadParameter
from solera.inference.tokens import bipartite_soft_matching, merge_tokens, reductions, token_counts
from solera.inference.tokens.matching import largest_r

SIX = torch.tensor([[[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [1.0, 1.0], [-1.0, 0.0]]])


def tokens(count, channels=4, batch=2, seed=0):
    return torch.randn(batch, count, channels, generator=torch.Generator().manual_seed(seed))


def test_the_worked_example():
    """Best links: 0 -> 1 and 2 -> 3 at .9939, 4 -> 1 at .7809; one is merged, so six tokens become five."""
    unit = SIX / SIX.norm(dim=-1, keepdim=True)
    best = (unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)).max(-1)
    torch.testing.assert_close(best.values, torch.tensor([[0.9939, 0.9939, 0.7809]]), rtol=0, atol=1e-4)
    found = bipartite_soft_matching(SIX, 1)
    assert (found.merged.tolist(), found.into.tolist(), found.kept.tolist()) == ([[0]], [[0]], [[1, 2]])
    merged, sizes = merge_tokens(found, SIX)
    want = [[0.0, 1.0], [1.0, 1.0], [0.95, 0.05], [0.1, 0.9], [-1.0, 0.0]]
    torch.testing.assert_close(merged, torch.tensor([want]))
    assert sizes.tolist() == [[1, 1, 2, 1, 1]]


def test_all_three_links():
    found = bipartite_soft_matching(SIX, 3)
    merged, sizes = merge_tokens(found, SIX)
    assert sizes.tolist() == [[3, 2, 1]]
    torch.testing.assert_close(merged[0, 0], SIX[0, [0, 1, 4]].mean(0))


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 40), st.integers(0, 2), st.integers(0, 100), st.data())
def test_what_merging_keeps(count, protected, seed, data):
    most = largest_r(count, protected)
    r = data.draw(st.integers(1, most))
    x = tokens(count, seed=seed)
    sizes = torch.randint(1, 5, (2, count), generator=torch.Generator().manual_seed(seed)).float()
    matching = bipartite_soft_matching(x, r, protected=protected)
    merged, found = merge_tokens(matching, x, sizes)
    assert merged.shape == (2, count - r, 4)
    torch.testing.assert_close(found.sum(1), sizes.sum(1))
    mean = (x * sizes[..., None]).sum(1) / sizes.sum(1, keepdim=True)
    again = (merged * found[..., None]).sum(1) / found.sum(1, keepdim=True)
    torch.testing.assert_close(again, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(merged[:, :protected], x[:, :protected], rtol=1e-5, atol=1e-6)
    assert bool((found[:, :protected] == sizes[:, :protected]).all())


@pytest.mark.parametrize("protected", [0, 1, 2])
def test_untouched_tokens_come_back_exactly(protected):
    x = tokens(20)
    matching = bipartite_soft_matching(x, 5, protected=protected)
    back = matching.copied_back(merge_tokens(matching, x)[0])
    assert back.shape == x.shape
    for one in range(2):
        touched = {2 * int(k) for k in matching.merged[one]} | {2 * int(k) + 1 for k in matching.into[one]}
        rest = [k for k in range(20) if k not in touched]
        torch.testing.assert_close(back[one, rest], x[one, rest], rtol=1e-6, atol=0)
        for source, target in zip(matching.merged[one], matching.into[one], strict=True):
            assert torch.equal(back[one, 2 * source], back[one, 2 * target + 1])


def test_each_example_is_matched_alone():
    x = tokens(12, batch=4)
    whole, _ = merge_tokens(bipartite_soft_matching(x, 4), x)
    for k in range(4):
        one, _ = merge_tokens(bipartite_soft_matching(x[k : k + 1], 4), x[k : k + 1])
        torch.testing.assert_close(one[0], whole[k])


def test_tokens_of_length_zero_are_nobodys_likeness():
    x = tokens(6)
    x[:, 2] = 0
    assert bool(merge_tokens(bipartite_soft_matching(x, 2), x)[0].isfinite().all())


@pytest.mark.parametrize(("r", "protected"), [(0, 0), (-1, 0), (4, 0), (3, 1), (1, 3)])
def test_bad_numbers(r, protected):
    with pytest.raises(BadParameter):
        bipartite_soft_matching(tokens(6), r, protected=protected)


def test_what_is_no_metric():
    for metric, r in ((torch.ones(4), 1), (torch.ones(1, 4, 2, dtype=torch.int64), 1), (torch.ones(1, 4, 2), 1.5)):
        with pytest.raises(BadParameter):
            bipartite_soft_matching(metric, r)


def test_schedules():
    assert reductions((8, 0.0), 4) == (8,) * 4
    assert reductions((8, 1.0), 3) == (0, 8, 16)
    assert sum(reductions((8, -1.0), 12)) == pytest.approx(96, abs=6)
    assert reductions(5, 1) == (5,)
    assert reductions((3, 1.0), 1) == (0,)
    assert reductions((3, 2), 3) == (3, 2, 0)  # a list of two whole numbers is one for each layer
    assert token_counts(197, (13,) * 12, 1)[-1] == 41


@pytest.mark.parametrize("r", [-1, 1.5, True, "8", [1, 2, 3], [1, -2], (8, 1.5), None])
def test_bad_schedules(r):
    with pytest.raises(BadParameter):
        reductions(r, 2)
