"""Models merged one after another, each freed of what the merge before it already holds: OPCM.

Sources: "Merging Models on the Fly Without Retraining: A Sequential Approach to Scalable Continual Model Merging"
(arXiv:2501.09522); official code tanganke/opcm; the method opcm in FusionBench.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.ops.fold import total
from solera.ops.lowrank import Factors, decompose
from solera.ops.spectral import on_matrices
from solera.ops.summaries import Sums
from solera.registry import Fraction, Positive, Range, method
from solera.types import DELTA, TENSOR, NumericClass, Scope


@method(
    "opcm",
    space=DELTA >> DELTA,
    grain=TENSOR,
    symmetric=False,
    numeric=NumericClass.TOLERANCE,
    base="required",
    paper="arXiv:2501.09522",
    code="github.com/tanganke/opcm",
    variants={"official": {"diagonal": "keep"}, "fusion_bench": {"diagonal": "remove"}},
    idempotent="vectors are added, so that their share of the norm grows",
    parity="tanganke/fusion_bench@54c9e8c9 to 9e-5 (default and variant fusion_bench)",
)
def opcm(
    alpha: Fraction = 0.5,
    *,
    diagonal: Literal["remove", "keep"] = "remove",
    merged: Annotated[int, Range(0)] = 0,
    norm: Annotated[float, Range(0)] = 0.0,
    scale: Positive = 1.0,
) -> Chain:
    """Merge models in order: project each out of the leading directions of the merge so far, keep the mean norm.

    R_1 = t_1,  R_k = R_(k-1) + t_k - U (Q * mask) V^T,  Q = U^T t_k V,  R_(k-1) = U diag(s) V^T
    out = base + R_K * mean_k ||t_k|| / ||R_K||, norms over the whole model

    The mask takes the leading c x c block of Q, c being the fewest singular values of which one more would exceed
    `alpha` of their sum, and the diagonal. Vectors, embeddings and heads are added. The published form rescales after
    every model and undoes that before the next; as projections do not see scale, that is this one rescaling at the
    end. Memory does not grow with models merged before: the running merge stands for all of them (`merged`).

    Cost: one decomposition per matrix and model, in the sweep that takes the norms and again in the pass that writes.

    Args:
        alpha: share of the singular values' sum that the protected block holds; 1 protects all.
        diagonal: whether the diagonal of Q is removed beyond the block as well.
        merged: how many models the first one stands for, as a running merge; 0 where it is a model itself.
        norm: of a running merge, the mean norm of its models' task vectors.
        scale: of a running merge, ||R|| / norm.

    Differs:
        Official code zeroes a copy of the diagonal, so that it stays (variant official); FusionBench removes it.
        Directions whose singular value is rounding are not protected: their vectors are arbitrary.
        alpha 1 protects the whole range; official code then protects nothing.
        Convolutions are projected as matrices, heads are not: official code takes linear layers, and no others.
        The order is the recipe's; official code shuffles.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> deltas = as_stack(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([[5.0, 0.0], [0.0, 2.0]]))
        >>> run_whole(opcm(alpha=1.0), deltas, Facts(shape=(2, 2)))
        tensor([[2.6111, 0.0000],
                [0.0000, 2.6111]])
    """

    def added(matrices: Tensor) -> Tensor:
        running = matrices[0] * scale if merged else matrices[0]
        for delta in matrices[1:]:
            running = running + without_leading(delta, decompose(running), alpha, diagonal=diagonal == "remove")
        return running

    def plainly(values: Tensor) -> Tensor:
        return total(torch.cat([values[:1] * scale if merged else values[:1], values[1:]]))

    return chain(
        _kept(on_matrices("add_in_order", added, embeddings="mean", otherwise=plainly)), _mean_norm(merged, norm)
    )


def without_leading(delta: Tensor, running: Factors, alpha: float, *, diagonal: bool) -> Tensor:
    """A task vector without its part in the protected directions of the running merge.

    Example:
        >>> running = decompose(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        >>> without_leading(torch.ones(2, 2), running, 0.8, diagonal=True)
        tensor([[0., 1.],
                [1., 0.]])
    """
    inside = running.left.mT @ delta @ running.right.mT
    protected = protected_directions(running.values, alpha)
    mask = (
        torch.eye(len(inside), dtype=torch.bool, device=inside.device)
        if diagonal
        else torch.zeros_like(inside, dtype=torch.bool)
    )
    mask[:protected, :protected] = True
    return delta - running.left @ torch.where(mask, inside, 0.0) @ running.right


def protected_directions(values: Tensor, alpha: float) -> int:
    """How many leading singular values come before the one that takes their sum above `alpha` of the whole.

    Example:
        >>> protected_directions(torch.tensor([4.0, 3.0, 2.0, 1.0]), 0.5)
        1
        >>> protected_directions(torch.tensor([4.0, 3.0, 2.0, 0.0]), 1.0)
        3
    """
    alive = int((values > 0).sum())
    if alpha >= 1 or alive == 0:
        return alive
    sums = values.to(torch.float64).cumsum(0)
    return int((sums <= alpha * sums[-1]).sum())


def _kept(step: Step) -> Step:
    """The step, with its operands carried along."""

    def apply(stack: Stack, facts: Facts) -> Stack:
        return replace(step(stack, facts), kept=stack.values)

    return replace(step, apply=apply)


def _mean_norm(merged: int, norm: float) -> Step:
    """Bring the merged task vector of the whole model to the mean norm of all that went into it.

    Shape: (1, *unit) -> (1, *unit)
    """

    def squares(stack: Stack, facts: Facts) -> Mapping[str, Tensor]:  # noqa: ARG001
        assert stack.kept is not None
        return {"own": stack.kept.double().square(), "sum": stack.values.double().square()}

    def norms(summary: Mapping[str, tuple[float, ...]]) -> tuple[int, float, float]:
        """Models merged now, their mean norm, the norm of the sum."""
        own = [math.sqrt(square) for square in summary["own"]]
        fresh = own[1:] if merged else own
        count = merged + len(fresh)
        return count, (merged * norm + sum(fresh)) / count, math.sqrt(summary["sum"][0])

    def apply(stack: Stack, facts: Facts) -> Stack:
        if stack.values.numel() == 0:
            return stack.reduced(stack.values[0])
        _, mean, size = norms(facts.summary)
        return stack.reduced(stack.values[0] * (mean / size if size else 0.0))

    def state(summary: Mapping[str, tuple[float, ...]]) -> Mapping[str, int | float]:
        """What going on from the result asks for, by the names of this method's parameters."""
        count, mean, size = norms(summary)
        return {"merged": count, "norm": mean, "scale": size / mean if mean and size else 1.0}

    parameters = {"merged": merged, "norm": norm}
    return Step("mean_norm", apply, Sums(squares, scope=Scope.POPULATION), parameters=parameters, emits=state)
