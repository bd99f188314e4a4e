"""A ridge regression onto the models, pulled towards an anchor: Bayesian model merging without data.

Source: "Bayesian Model Merging", later "ReForge: Refining Merged Models with Anchor-Regularized Regression"
(arXiv:2605.12843). No official code was found.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from solera.methods.spectral.interference import Others, Quadratic, others_by, quadratic_of, start_of, unit_grams
from solera.ops.combine import scale_by
from solera.ops.contract import Chain, chain
from solera.ops.fold import spread
from solera.ops.spectral import on_matrices
from solera.registry import PerModel, Positive, Range, Weight, method
from solera.types import DELTA, TENSOR, NumericClass

Anchor = Literal["sum", "mean"]

LEAST_STRENGTH = 1e-12
"""A weaker prior is lost in rounding, and the matrix to be inverted may be singular."""


@method(
    "bmm",
    space=DELTA >> DELTA,
    grain=TENSOR,
    symmetric=True,
    numeric=NumericClass.TOLERANCE,
    base="required",
    paper="arXiv:2605.12843",
    idempotent="the anchor is the sum of the task vectors",
)
def bmm(
    precision: PerModel[Positive] = 1.0,
    strength: Annotated[float, Range(0, 1e12, open_low=True)] = 0.1,
    lambda_: Weight = 1.0,
    *,
    anchor: Anchor = "sum",
    others: Others = "mean",
) -> Chain:
    """Merge every matrix by a ridge regression whose prior is an anchor merge and whose inputs are the task vectors.

    out = base + lambda * [sum_k g_k t_k G_k + b A] [sum_k g_k G_k + b]^-1,  G_k = t_k^T t_k / ||t_k||^2

    with A the sum or mean of the task vectors and b = strength * trace(sum_k g_k G_k) / in. A small strength comes to
    WUDI's minimum (wudi_closed), a large one to the anchor.

    Cost: Gram matrices and one Cholesky factorisation of (in, in), in float64.

    Args:
        precision: g_k, how much a model's own inputs count.
        strength: of the prior, relative to the mean of the inputs' second moments; 1e-12 is taken for less.
        lambda_: multiplies the result.
        anchor: the prior's centre.
        others: vectors, embeddings and heads stay at the base, or get the mean or sum of the task vectors.

    Differs:
        reading: ours. The paper's abstract says ridge regression, anchor, Gram matrices from task vectors, and a
        search of strength and scale per module; the formula is the standard posterior mean, Gram matrices are divided
        by squared norms, and strength and scale are the same for all modules unless rules say otherwise.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> deltas = as_stack(torch.tensor([[0.4, 0.0]]), torch.tensor([[0.2, 0.2]]))
        >>> run_whole(bmm(strength=1.0), deltas, Facts(shape=(1, 2)))
        tensor([[0.4571, 0.1143]])
    """

    def solve(matrices: Tensor) -> Tensor:
        weights = spread(precision, len(matrices), name="precision")
        grams = (gram * weight for gram, weight in zip(unit_grams(matrices), weights, strict=True))
        seen = quadratic_of(matrices, grams)
        prior = start_of(matrices, anchor).to(torch.float64)
        return _posterior(seen, prior, max(strength, LEAST_STRENGTH)).to(matrices.dtype)

    return chain(
        on_matrices("posterior_mean", solve, embeddings="mean", otherwise=others_by(others)), scale_by(lambda_)
    )


def _posterior(seen: Quadratic, prior: Tensor, strength: float) -> Tensor:
    """The mode of the posterior; the prior itself where no model says anything."""
    size = seen.curvature.shape[0]
    ridge = strength * float(seen.curvature.trace()) / size
    if ridge == 0:
        return prior
    unit = torch.eye(size, dtype=torch.float64, device=prior.device)
    factor = torch.linalg.cholesky(seen.curvature + ridge * unit)
    solution: Tensor = torch.cholesky_solve((seen.pull + ridge * prior).T, factor).T
    return solution
