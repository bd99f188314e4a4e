"""Drop entries at random, small ones more often: DELLA.

Sources: "DELLA-Merging: Reducing Interference in Model Merging through Magnitude-Based Sampling" (arXiv:2406.11617);
official code declare-lab/della, mergekit/mergekit/sparsify.py; the methods of these names in mergekit.
"""

from __future__ import annotations

from typing import Annotated, Literal

from solera.ops.combine import add_models, scale_by, weigh
from solera.ops.contract import Chain, Step, chain
from solera.ops.elect import disjoint_mean, elect_sign
from solera.ops.sparsify import Shares, drop_by_rank, restore_l1
from solera.registry import Fraction, PerModel, Range, Weight, method
from solera.types import DELTA, ROWS, NumericClass

Rescale = Literal["inverse", "l1"]
Window = Annotated[float, Range(0, 0.5, open_high=True)]

PAPER = "arXiv:2406.11617"
CODE = "github.com/declare-lab/della"
MERGEKIT = {"density": 1.0, "epsilon": 0.15, "rescale_by": "l1"}
WHY_NOT = "only the expectation of a task vector is kept"


@method(
    "della",
    space=DELTA >> DELTA,
    grain=ROWS,
    symmetric=True,
    numeric=NumericClass.EXACT,
    base="required",
    paper=PAPER,
    code=CODE,
    variants={"mergekit": MERGEKIT},
    idempotent=WHY_NOT,
    random=True,
    version=2,
    parity="mergekit 0.1.5, at density 1",
)
def della(
    weight: PerModel[Weight] = 1.0,
    density: PerModel[Fraction] = 0.5,
    lambda_: Weight = 1.0,
    *,
    epsilon: PerModel[Window] = 0.07,
    normalize: bool = True,
    rescale: bool = True,
    rescale_by: Rescale = "inverse",
) -> Chain:
    """Drop entries at random by their rank in the row, rescale the rest, elect a sign, average what agrees.

    out = base + lambda * mean of w_k m_k d_k / q_k over the k that agree with sign(sum_k w_k m_k d_k / q_k)

    with P(m = 1) = q = density - epsilon + 2 epsilon (r - 1) / (n - 1), r being the rank of |d| among the n entries of
    its row, 1 for the smallest. An even vote elects plus.

    Args:
        weight: coefficient of each task vector.
        density: mean probability of an entry to be kept; the paper's drop rate is 1 - density.
        lambda_: multiplies the result; the official example uses 1.1.
        epsilon: half the width of the window of probabilities; needs 0 < density - epsilon and density + epsilon < 1.
        normalize: average over the agreeing models; false adds them.
        rescale: make up for the dropped entries.
        rescale_by: inverse divides every entry by its own probability, which keeps the expectation; l1 restores the sum
            of magnitudes that the tensor had.

    Differs:
        Rows are the vectors along the last axis; a vector is one row.
        A row of one entry keeps it with probability `density`, where the official code and mergekit compute 0/0.
        Magnitudes are ranked as bfloat16 cuts them off (8 binary digits), and what is equal then by position, where the
            order is undefined elsewhere. A probability moves by less than 2 epsilon times the share of the row that is
            within 1 / 128 of the entry's magnitude.
        Draws belong to (seed, model, tensor, index), so they depend on no order.
        mergekit (variant mergekit) keeps all by default, has epsilon 0.15 and rescales by l1.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> deltas = as_stack(torch.tensor([0.4, -0.2]), torch.tensor([0.2, 0.5]))
        >>> run_whole(della(density=1.0), deltas, Facts(shape=(2,)))
        tensor([0.3000, 0.5000])
    """
    return chain(
        sampled(density, epsilon, rescale=rescale, by=rescale_by),
        weigh(weight),
        elect_sign(),
        disjoint_mean("weights" if normalize else "none"),
        scale_by(lambda_),
    )


@method(
    "della_linear",
    space=DELTA >> DELTA,
    grain=ROWS,
    symmetric=True,
    numeric=NumericClass.EXACT,
    base="required",
    paper=PAPER,
    code=CODE,
    variants={"mergekit": MERGEKIT},
    idempotent=WHY_NOT,
    random=True,
    version=2,
    parity="mergekit 0.1.5, at density 1",
)
def della_linear(
    weight: PerModel[Weight] = 1.0,
    density: PerModel[Fraction] = 0.5,
    lambda_: Weight = 1.0,
    *,
    epsilon: PerModel[Window] = 0.07,
    normalize: bool = False,
    rescale: bool = True,
    rescale_by: Rescale = "inverse",
) -> Chain:
    """Drop entries at random by their rank in the row, rescale the rest, and add the task vectors.

    out = base + lambda * sum_k w_k m_k d_k / q_k,  with m and q as in `della`

    Args:
        weight: coefficient of each task vector.
        density: mean probability of an entry to be kept.
        lambda_: multiplies the sum.
        epsilon: half the width of the window of probabilities; needs 0 < density - epsilon and density + epsilon < 1.
        normalize: divide by the sum of the weights (unless that is within 1e-8 of zero).
        rescale: make up for the dropped entries.
        rescale_by: inverse divides every entry by its own probability, which keeps the expectation; l1 restores the sum
            of magnitudes that the tensor had.

    Differs:
        As `della`; mergekit (variant mergekit) keeps all by default, has epsilon 0.15 and rescales by l1.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> deltas = as_stack(torch.tensor([0.4, -0.2]), torch.tensor([0.2, 0.5]))
        >>> run_whole(della_linear(density=1.0, weight=0.5), deltas, Facts(shape=(2,)))
        tensor([0.3000, 0.1500])
    """
    return chain(
        sampled(density, epsilon, rescale=rescale, by=rescale_by),
        weigh(weight),
        add_models(normalize=normalize),
        scale_by(lambda_),
    )


def sampled(density: Shares, epsilon: Shares, *, rescale: bool, by: Rescale) -> Step:
    """The sampling by rank with its rescaling."""
    if rescale and by == "l1":
        return restore_l1(drop_by_rank(density, epsilon), by=ROWS)
    return drop_by_rank(density, epsilon, inverse=rescale)
