"""Which weights of the sum serve which task: TALL masks and Consensus Merging.

Sources: "Localizing Task Information for Improved Model Merging and Compression" (arXiv:2405.07813); official code
nik-dim/tall_masks, src/utils/tallmask_utils.py.
"""

from __future__ import annotations

from typing import Annotated

import torch

from solera.ops.combine import scale_by
from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.ops.fold import per_model, spread, total
from solera.ops.masks import one_of, stands_out
from solera.registry import PerModel, Range, Weight, method
from solera.types import DELTA, ELEMENT, NumericClass

Threshold = Annotated[float, Range(0)]

PAPER = "arXiv:2405.07813"
CODE = "github.com/nik-dim/tall_masks"


@method(
    "consensus",
    space=DELTA >> DELTA,
    grain=ELEMENT,
    symmetric=True,
    numeric=NumericClass.EXACT,
    base="required",
    paper=PAPER,
    code=CODE,
    idempotent="task vectors are added, and weights that few tasks use return to the base",
    parity="tall_masks@d10af8b (generate_task_masks, construct_consensus_mask) to 1e-6",
)
def consensus(
    lambda_: Weight = 1.0,
    *,
    threshold: PerModel[Threshold] = 0.4,
    least_tasks: Annotated[int, Range(0)] = 2,
) -> Chain:
    """Add the task vectors, and leave out the weights that fewer than `least_tasks` tasks use.

    out = base + lambda * t where sum_k m_k >= least_tasks, else base

    with t = sum_k d_k and m_k = 1 where |d_k| > threshold_k |t - d_k|.

    Args:
        lambda_: multiplies the sum; tuned on held-out data in the paper.
        threshold: how much larger than the rest of the sum a task's own change must be for the task to use the weight;
            the paper's lambda, chosen for every task from 0.2 to 0.6. FusionBench has 0.6.
        least_tasks: 2 leaves out weights that no task, or one alone, uses; 0 leaves out nothing, more than there are
            tasks everything.

    Differs:
        The paper's other sum, of task vectors after TIES, is not offered.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> deltas = as_stack(torch.tensor([0.4, -0.2, 0.1]), torch.tensor([0.25, 0.45, -0.35]))
        >>> run_whole(consensus(), deltas, Facts(shape=(3,)))
        tensor([0.6500, 0.2500, 0.0000])
    """
    return chain(keep_used(threshold, least_tasks), scale_by(lambda_))


@method(
    "tall_mask",
    space=DELTA >> DELTA,
    grain=ELEMENT,
    symmetric=False,
    numeric=NumericClass.EXACT,
    base="required",
    paper=PAPER,
    code=CODE,
    variants={"fusion_bench": {"threshold": 0.6}},
    idempotent="the masked sum counts copies several times",
    parity="tall_masks@d10af8b (generate_task_masks) to 1e-6",
)
def tall_mask(task: Annotated[int, Range(0)] = 0, *, threshold: Threshold = 0.4) -> Chain:
    """Rebuild one task's model from the sum of all task vectors and one bit per weight.

    out = base + m t,  t = sum_k d_k,  m = 1 where |d_task| > threshold |t - d_task|

    Args:
        task: which model is rebuilt, counted from 0 in the order of the recipe.
        threshold: how much larger than the rest of the sum the task's own change must be; the paper's lambda, chosen
            from 0.2 to 0.6 on held-out data.

    Raises:
        BadParameter: there is no such model.

    Differs:
        The paper keeps the sum once and the masks of all tasks: `solera pack make --method tall_mask` does, and that
        pack is the masks' artefact. Here one rebuilt model is written.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> deltas = as_stack(torch.tensor([0.4, -0.2, 0.1]), torch.tensor([0.25, 0.45, -0.35]))
        >>> run_whole(tall_mask(task=0), deltas, Facts(shape=(3,)))
        tensor([0.6500, 0.2500, 0.0000])
    """
    return chain(mask_sum(task, threshold))


def keep_used(threshold: float | tuple[float, ...], least_tasks: int) -> Step:
    """Add the operands where at least that many of them stand out from the rest of the sum; zero elsewhere.

    Shape: (models, *unit) -> (1, *unit)
    """

    def apply(stack: Stack, facts: Facts) -> Stack:  # noqa: ARG001
        added = total(stack.values)
        bars = per_model(spread(threshold, stack.models, name="threshold"), stack.values)
        using = stands_out(stack.values, added, bars).sum(0)
        return stack.reduced(torch.where(using >= least_tasks, added, 0.0))

    return Step("keep_used", apply, parameters={"threshold": threshold, "least_tasks": least_tasks})


def mask_sum(task: int, threshold: float) -> Step:
    """Add the operands where one of them stands out from the rest of the sum; zero elsewhere.

    Shape: (models, *unit) -> (1, *unit)
    """

    def apply(stack: Stack, facts: Facts) -> Stack:  # noqa: ARG001
        own, added = one_of(stack.values, task), total(stack.values)
        return stack.reduced(torch.where(stands_out(own, added, threshold), added, 0.0))

    return Step("mask_sum", apply, parameters={"task": task, "threshold": threshold})
