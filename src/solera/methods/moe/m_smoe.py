"""M-SMoE: the most used experts of a layer lead; every other joins the leader whose router logits move like its own.

Source: Merge, Then Compress (arXiv:2310.01334, ICLR 2024); github.com/UNITES-Lab/MC-SMoE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from solera.errors import PlanError
from solera.methods.moe.cards import expert_method
from solera.methods.moe.contract import ExpertMethod, Group, Grouping, Measured, check_count, in_order, weighted

FREQUENCY, LOGITS = "router_frequency", "router_gram"


@expert_method(
    "m_smoe",
    verb="merge",
    paper="arXiv:2310.01334",
    code="github.com/UNITES-Lab/MC-SMoE",
    parity="UNITES-Lab/MC-SMoE@4a195b17: groups equal, merged weights to 1e-6",
)
def m_smoe(*, align: bool = True, spread: Literal["even", "global"] = "even") -> ExpertMethod:
    """Merge experts by routing: usage chooses leaders and weights, likeness of router logits chooses groups.

    u_j = share of the choices that fall on j; sim(i, j) = (cos of the router's logits of i and j over tokens + 1) / 2
    leaders = the experts with the largest u; every other joins the leader with the largest sim
    W_C = sum over C of u_j W_j / sum over C of u_j

    Args:
        align: put the neurons of every member into the order of its leader's first (linear assignment on the inner
            products of gate, up and down). Costs O(f^3) for inner size f and expert.
        spread: even gives every layer the same number; global shares a mean number out by usage, as the paper does,
            and needs an export that keeps every slot.

    Differs:
        The paper aligns all experts to expert 0; here members to the leader of their group, as only they are added.
        The paper shares numbers out over layers (``spread: global``); one number for all is the default, because a
        config of transformers holds one number.
        Logits are compared as the router gives them, their mean not taken off, as in the official code.
        The compression of the second half of the paper (low rank and sparse, with fine-tuning) is not part of it.

    Example:
        >>> method = m_smoe()
        >>> seen = {"router_frequency": {"r": torch.tensor([1.0, 0.6, 0.4])}, "router_gram": {"r": torch.eye(3) + 0.1}}
        >>> [group.members for group in method.group(seen, 2)["r"]]
        [(0, 2), (1,)]
    """

    def group(seen: Measured, wanted: int) -> Grouping:
        usages = {name: usage_of(counts) for name, counts in seen[FREQUENCY].items()}
        for usage in usages.values():
            check_count(wanted, len(usage))
        counts = dict.fromkeys(usages, wanted) if spread == "even" else shared_out(usages, wanted)
        return {name: by_routing(usages[name], seen[LOGITS][name], counts[name]) for name in usages}

    return ExpertMethod((FREQUENCY, LOGITS), group, "neurons" if align else "none", even=spread == "even")


def usage_of(counts: Tensor) -> list[float]:
    """Share of the choices that fall on each expert.

    Raises:
        PlanError: no token was counted.

    Example:
        >>> usage_of(torch.tensor([1.0, 0.5, 0.5]))
        [0.5, 0.25, 0.25]
    """
    whole = float(counts.double().sum())
    if not whole > 0:
        raise PlanError("The statistics count no token.", got="router_frequency of 0 for every expert")
    return [float(count) / whole for count in counts.double()]


def likeness(gram: Tensor) -> Tensor:
    """(cosine + 1) / 2 of router logits, from their mean outer product over tokens; 1/2 where logits are all 0.

    Shape: (experts, experts) -> (experts, experts)

    Example:
        >>> likeness(torch.tensor([[4.0, 2.0], [2.0, 1.0]]))[0]
        tensor([1., 1.], dtype=torch.float64)
    """
    squares = gram.double().diagonal().clamp(min=0).sqrt()
    scale = squares.outer(squares)
    cosine = torch.where(scale > 0, gram.double() / scale.clamp(min=1e-300), 0.0)
    return (cosine.clamp(-1, 1) + 1) / 2


def by_routing(usage: Sequence[float], gram: Tensor, groups: int) -> tuple[Group, ...]:
    """Groups of one layer around its most used experts; of equal ones the first leads."""
    order = sorted(range(len(usage)), key=lambda expert: -usage[expert])
    leaders, similar = order[:groups], likeness(gram)
    members: dict[int, list[int]] = {leader: [leader] for leader in leaders}
    for expert in order[groups:]:
        members[max(leaders, key=lambda leader, e=expert: float(similar[e, leader]))].append(expert)  # type: ignore[misc]
    return in_order([weighted(found, leader, usage) for leader, found in members.items()])


def shared_out(usages: Mapping[str, Sequence[float]], mean: int) -> dict[str, int]:
    """Groups of every layer, for a mean number over layers: as many as its experts used more than a common threshold.

    The most used expert of each layer always counts. Ties at the threshold make the total smaller than asked for.

    Example:
        >>> shared_out({"a": [0.4, 0.3, 0.3], "b": [0.9, 0.05, 0.05]}, 2)
        {'a': 3, 'b': 1}
    """
    raised = {name: [1.0 if e == _most(usage) else u for e, u in enumerate(usage)] for name, usage in usages.items()}
    every = sorted((u for usage in raised.values() for u in usage), reverse=True)
    place = mean * len(usages)
    if place >= len(every):
        return {name: len(usage) for name, usage in usages.items()}
    return {name: sum(u > every[place] or u == 1.0 for u in usage) for name, usage in raised.items()}


def _most(usage: Sequence[float]) -> int:
    return max(range(len(usage)), key=lambda expert: usage[expert])
