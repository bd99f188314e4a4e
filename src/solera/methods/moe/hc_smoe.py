"""HC-SMoE: experts whose mean outputs lie near each other become one, found by hierarchical clustering.

Source: Retraining-Free Merging of Sparse MoE via Hierarchical Clustering (arXiv:2410.08589, ICML 2025);
github.com/wazenmai/HC-SMoE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from solera.errors import MissingExtra
from solera.methods.moe.cards import expert_method
from solera.methods.moe.contract import ExpertMethod, Group, Grouping, Measured, check_count, in_order, weighted
from solera.methods.moe.m_smoe import FREQUENCY, usage_of

OUTPUTS = "expert_output"


@expert_method(
    "hc_smoe",
    verb="merge",
    paper="arXiv:2410.08589",
    code="github.com/wazenmai/HC-SMoE",
    parity="wazenmai/HC-SMoE@bd77eba1: clusters of average and single linkage equal",
)
def hc_smoe(
    *,
    linkage: Literal["average", "single", "complete"] = "average",
    weights: Literal["usage", "equal"] = "usage",
    align: bool = False,
) -> ExpertMethod:
    """Merge experts by their outputs: agglomerative clustering of mean outputs over all calibration tokens.

    o_j = mean over tokens x of f_j(x), whether x is sent to j or not
    join the two nearest clusters until as many are left as wanted, by d(A, B) = mean of |o_a - o_b|
    W_C = sum over C of u_j W_j / sum over C of u_j

    Args:
        linkage: how far apart clusters are: mean, least or greatest distance of their members.
        weights: by how often the router chooses a member, or the same for all.
        align: put the neurons of every member into the order of the leader's first; the paper does not.

    Differs:
        Every layer keeps the same number, as the paper's main setting does; its dynamic variant is not built.
        Of two members the first leads; in the official code rounding decides.

    Example:
        >>> outputs = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
        >>> seen = {"expert_output": {"r": outputs}, "router_frequency": {"r": torch.ones(4)}}
        >>> [group.members for group in hc_smoe().group(seen, 2)["r"]]
        [(0, 1), (2, 3)]
    """

    def group(seen: Measured, wanted: int) -> Grouping:
        return {
            name: _groups(outputs, usage_of(seen[FREQUENCY][name]), wanted) for name, outputs in seen[OUTPUTS].items()
        }

    def _groups(outputs: Tensor, usage: Sequence[float], wanted: int) -> tuple[Group, ...]:
        check_count(wanted, len(outputs))
        found = clusters(outputs, wanted, linkage)
        shares = usage if weights == "usage" else [1.0] * len(usage)
        return in_order([weighted(members, nearest(outputs, members), shares) for members in found])

    return ExpertMethod((FREQUENCY, OUTPUTS), group, "neurons" if align else "none")


def clusters(points: Tensor, wanted: int, linkage: str = "average") -> list[list[int]]:
    """Agglomerative clustering of the rows by Euclidean distance, cut at exactly `wanted` clusters.

    Shape: (experts, width)

    Cost: O(experts^2 * width).

    Example:
        >>> clusters(torch.tensor([[0.0], [4.0], [0.5]]), 2)
        [[0, 2], [1]]
    """
    try:
        from scipy.cluster.hierarchy import linkage as joined
    except ImportError:
        raise MissingExtra("moe", needed_for="Clustering experts") from None
    held = {expert: [expert] for expert in range(len(points))}
    if wanted < len(points):
        steps = joined(points.double().numpy(), linkage)[: len(points) - wanted]
        for number, (first, second) in enumerate((int(row[0]), int(row[1])) for row in steps):
            held[len(points) + number] = sorted(held.pop(first) + held.pop(second))
    return sorted(held.values())


def nearest(points: Tensor, members: Sequence[int]) -> int:
    """The member whose row lies nearest to the mean of all members'; of equal ones the first.

    Example:
        >>> nearest(torch.tensor([[0.0], [1.0], [5.0]]), [0, 1, 2])
        1
    """
    rows = points[list(members)].double()
    far = torch.linalg.vector_norm(rows - rows.mean(0), dim=1)
    return members[int((far <= far.min() * (1 + 1e-9)).int().argmax())]  # two members lie equally far, but for rounding
