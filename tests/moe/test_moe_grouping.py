"""Groups from statistics: the worked numbers of the papers' formulas, and what they must never do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solera.errors import BadParameter, PlanError, UnknownName
from solera.methods.moe.cards import build, expert_card, expert_cards
from solera.methods.moe.contract import Group, weighted
from solera.methods.moe.hc_smoe import clusters, hc_smoe, nearest
from solera.methods.moe.m_smoe import by_routing, likeness, m_smoe, shared_out, usage_of
from solera.methods.moe.reap import SCORES, kept, reap


def test_usage_weights_of_3_and_1_on_1_and_5_give_2() -> None:
    group = weighted([0, 1], 0, [3.0, 1.0])
    assert sum(w * x for w, x in zip(group.weights, (1.0, 5.0), strict=True)) == 2.0
    assert weighted([0, 1], 0, [0.0, 0.0]).weights == (0.5, 0.5)


def test_reap_scores_of_the_worked_example() -> None:
    gates = torch.tensor([[0.7, 0.3, 0], [0.6, 0, 0.4], [0, 0.5, 0.5]])
    norms = torch.tensor([[1.0, 4, 0], [2, 0, 1], [0, 2, 3]])
    came = (gates > 0).float()
    sums = torch.stack([came.sum(0), gates.sum(0), norms.sum(0), (gates * norms).sum(0)])
    want = {
        "reap": (0.95, 1.10, 0.95), "ean_mean": (1.5, 3, 2), "ean_sum": (3, 6, 4), "frequency": (2, 2, 2),
        "gate_sum": (1.3, 0.8, 0.9), "weighted_ean_sum": (1.9, 2.2, 1.9),
    }  # fmt: skip
    for name, scores in want.items():
        torch.testing.assert_close(SCORES[name](sums), torch.tensor(scores, dtype=torch.float32), msg=name)
    assert [g.members for g in reap().group({"expert_activation": {"r": sums}}, 1)["r"]] == [(1,)]


def test_an_expert_that_nobody_is_sent_to_scores_0_and_goes_first() -> None:
    sums = torch.tensor([[0.0, 5.0], [0, 1], [0, 1e-9], [0, 1e-9]])
    for name in SCORES:
        scores = SCORES[name](sums)
        assert scores[0] == 0
        assert kept(scores, 1) == [1]


def test_outputs_on_a_line_fall_into_their_clusters() -> None:
    points = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    assert clusters(points, 2) == [[0, 1], [2, 3]]
    assert clusters(points, 4) == [[0], [1], [2], [3]]
    assert clusters(points, 1) == [[0, 1, 2, 3]]
    assert nearest(torch.tensor([[0.0], [1.0], [5.0]]), [0, 1, 2]) == 1


def test_equal_experts_are_joined_first_and_counts_are_exact() -> None:
    points = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    points[4] = points[1]
    assert [1, 4] in clusters(points, 4)
    assert [len(clusters(torch.zeros(5, 3), n)) for n in (1, 2, 3, 4, 5)] == [1, 2, 3, 4, 5]


def test_average_linkage_is_the_mean_of_all_pairs() -> None:
    # {0, 3} and {7}: mean distance 5.5; {7} and {12}: 5. Single linkage joins {0, 3} with {7} (4).
    points = torch.tensor([[0.0], [3.0], [7.0], [12.0]])
    assert clusters(points, 2) == [[0, 1], [2, 3]]
    assert clusters(points, 2, "single") == [[0, 1, 2], [3]]


def test_hc_smoe_does_not_ask_the_router_which_experts_go_together() -> None:
    outputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    seen = {"expert_output": {"r": outputs}, "router_frequency": {"r": torch.arange(1.0, 7)}}
    other = {**seen, "router_frequency": {"r": torch.arange(7.0, 1, -1)}}
    first, second = (hc_smoe().group(one, 3)["r"] for one in (seen, other))
    assert [g.members for g in first] == [g.members for g in second]
    equal = hc_smoe(weights="equal").group(seen, 3)["r"]
    assert all(w == 1 / len(g.members) for g in equal for w in g.weights)


def test_m_smoe_leaders_are_the_most_used_and_others_join_the_likest() -> None:
    # Logits of 3 move like those of 0, those of 2 like those of 1.
    logits = torch.tensor([[1.0, -1, -1, 1], [2, 0.1, 0, 2], [0, 3, 3, 0], [-1, 1, 1, -1]])
    groups = by_routing([0.4, 0.35, 0.15, 0.1], logits.T @ logits, 2)
    assert [(g.members, g.leader) for g in groups] == [((0, 3), 0), ((1, 2), 1)]
    torch.testing.assert_close(torch.tensor(groups[0].weights), torch.tensor([0.8, 0.2]))
    torch.testing.assert_close(likeness(logits.T @ logits)[0, 3], torch.tensor(1.0, dtype=torch.float64))
    assert float(likeness(torch.zeros(2, 2))[0, 1]) == 0.5


def test_numbers_are_shared_out_over_layers_by_usage() -> None:
    usages = {"a": [0.4, 0.3, 0.3], "b": [0.9, 0.05, 0.05]}
    assert shared_out(usages, 2) == {"a": 3, "b": 1}
    assert shared_out(usages, 3) == {"a": 3, "b": 3}
    # ties at the threshold: fewer than asked for, never none
    assert shared_out({"a": [0.25] * 4, "b": [0.25] * 4}, 2) == {"a": 1, "b": 1}


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(0, 10**6))))
def test_groups_hold_every_expert_once(case: tuple[int, int, int]) -> None:
    experts, wanted, seed = case
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(9, experts, generator=draw)
    seen = {
        "router_frequency": {"r": torch.rand(experts, generator=draw) + 1e-3},
        "router_gram": {"r": logits.T @ logits},
        "expert_output": {"r": torch.randn(experts, 5, generator=draw)},
        "expert_activation": {"r": torch.rand(4, experts, generator=draw) + 1},
    }
    for method in (m_smoe(), hc_smoe(), reap()):
        groups = method.group(seen, wanted)["r"]
        members = [m for group in groups for m in group.members]
        assert len(groups) == wanted
        assert len(set(members)) == len(members)
        assert all(abs(sum(group.weights) - 1) < 1e-12 and group.leader in group.members for group in groups)
        if method.statistics != ("expert_activation",):
            assert sorted(members) == list(range(experts))
        if wanted == experts:
            assert [group.members for group in groups] == [(e,) for e in range(experts)]


def test_bad_counts_and_empty_statistics_are_refused() -> None:
    seen = {"router_frequency": {"r": torch.zeros(3)}, "router_gram": {"r": torch.eye(3)}}
    with pytest.raises(PlanError, match="count no token"):
        m_smoe().group(seen, 2)
    with pytest.raises(BadParameter, match="in \\[1, 3\\]"):
        kept(torch.ones(3), 4)
    with pytest.raises(BadParameter, match="in \\[1, 3\\]"):
        kept(torch.ones(3), 0)
    assert usage_of(torch.tensor([1.0, 1.0])) == [0.5, 0.5]


def test_cards_say_what_methods_are() -> None:
    for card in expert_cards().values():
        assert card.summary
        assert card.paper
        assert all(parameter.doc for parameter in card.parameters)
    with pytest.raises(UnknownName, match="m_smoe"):
        expert_card("m_smoee")
    with pytest.raises(UnknownName, match="solera moe prune"):
        expert_card("reap", "merge")
    with pytest.raises(BadParameter, match="score"):
        build("reap", {"score": "best"})
    assert Group((0,), (1.0,), 0).members == (0,)
