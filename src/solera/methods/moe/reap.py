"""REAP: experts that add least to what their layer gives are left out.

Source: REAP the Experts (arXiv:2510.13999, ICLR 2026); github.com/CerebrasResearch/reap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from solera.methods.moe.cards import expert_method
from solera.methods.moe.contract import ExpertMethod, Grouping, Measured, check_count, single

ACTIVATION = "expert_activation"
TOKENS, GATE, NORM, GATED = range(4)
"""Rows of the statistic: sums over an expert's tokens of 1, of the gate, of the output's norm, of their product."""


def _mean(sums: Tensor, row: int) -> Tensor:
    """Mean over the tokens that came; 0 for an expert to which none did."""
    return sums[row] / sums[TOKENS].clamp(min=1)


SCORES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "reap": lambda sums: _mean(sums, GATED),
    "frequency": lambda sums: sums[TOKENS],
    "ean_sum": lambda sums: sums[NORM],
    "ean_mean": lambda sums: _mean(sums, NORM),
    "weighted_ean_sum": lambda sums: sums[GATED],
    "gate_sum": lambda sums: sums[GATE],
}
"""Name -> (sums (4, experts)) -> a score for each expert; the lowest go."""

Score = Literal["reap", "frequency", "ean_sum", "ean_mean", "weighted_ean_sum", "gate_sum"]


@expert_method(
    "reap",
    verb="prune",
    paper="arXiv:2510.13999",
    code="github.com/CerebrasResearch/reap",
    parity="CerebrasResearch/reap@1970473c: all scores to 1e-6 relative",
)
def reap(*, score: Score = "reap") -> ExpertMethod:
    """Leave out the experts with the least gated output, the same number in every layer; the router loses their rows.

    S_j = mean over the tokens x that come to j of g_j(x) |f_j(x)|

    g is the gate as the model applies it, f the output before it. An expert to which no token came has score 0.

    Args:
        score: reap; or a sibling: how often an expert is chosen (frequency), sum or mean of its outputs' norms
            (ean_sum, ean_mean), the sum of gated norms (weighted_ean_sum), the sum of gates (gate_sum).

    Differs:
        The official code divides gates by the sum of the chosen ones for every model; here a gate is what the model
        multiplies by, which differs where a model does not renormalise (Qwen2-MoE).
        Experts with extreme activations are not kept apart ("super experts").
        Of equal scores the later expert goes first.

    Example:
        >>> sums = torch.tensor([[2.0, 2, 2], [1.3, 1.2, 0.9], [3, 6, 4], [1.9, 2.2, 1.9]])
        >>> SCORES["reap"](sums)
        tensor([0.9500, 1.1000, 0.9500])
        >>> [group.leader for group in reap().group({"expert_activation": {"r": sums}}, 2)["r"]]
        [0, 1]
    """

    def group(seen: Measured, wanted: int) -> Grouping:
        return {name: tuple(map(single, kept(SCORES[score](sums), wanted))) for name, sums in seen[ACTIVATION].items()}

    return ExpertMethod((ACTIVATION,), group)


def kept(scores: Tensor, wanted: int) -> list[int]:
    """Numbers of the experts with the highest scores, ascending; of equal ones the first stays.

    Example:
        >>> kept(torch.tensor([1.0, 3.0, 1.0]), 2)
        [0, 1]
    """
    check_count(wanted, len(scores))
    return sorted(torch.argsort(scores.double(), descending=True, stable=True)[:wanted].tolist())
