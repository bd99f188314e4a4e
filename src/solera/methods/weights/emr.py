"""One task vector for all tasks, with a mask and a scale for each: EMR-Merging.

Sources: "EMR-Merging: Tuning-Free High-Performance Model Merging" (arXiv:2405.17461); official code
harveyhuang18/EMR_Merging, merge_vit/src/main_emr_merging.py.
"""

from __future__ import annotations

from typing import Annotated

from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.ops.masks import MeanOf, largest_agreeing, magnitudes, masked_agreeing, rescaler
from solera.registry import Range, method
from solera.types import DELTA, ELEMENT, NumericClass


@method(
    "emr",
    space=DELTA >> DELTA,
    grain=ELEMENT,
    symmetric=True,
    numeric=NumericClass.EXACT,
    base="required",
    paper="arXiv:2405.17461",
    code="github.com/harveyhuang18/EMR_Merging",
    parity="EMR_Merging@cc225ec (emr_merge) to 1e-6",
)
def emr(task: Annotated[int, Range(0)] | None = None, *, mean: MeanOf = "tensor") -> Chain:
    """Elect a sign per entry and take the largest agreeing change; for one task, mask and rescale that.

    u = s max_k |d_k| over the k with d_k s > 0,  s = 1 where sum_k d_k > 0, else -1

    out = base + u; with a task, out = base + r m u with m = 1 where d_task s > 0 and
    r = mean |d_task| / mean |m u| over the whole model.

    Args:
        task: which model is rebuilt, counted from 0 in the order of the recipe; the unified model where not set.
        mean: the scale compares sums of the tensors' means (tensor), as the official code does, or means over all
            entries (element).

    Raises:
        BadParameter: there is no such model.

    Differs:
        The paper keeps u once, a mask and a scale per task, and chooses the task for every input; u alone is not meant
        to be used there: `solera pack make --method emr` keeps all of it, and that pack is the masks' artefact. Here
        one model is written.
        A task that wins no entry is the base; the official code divides by zero there.
        For two models the unified model is MagMax's, at lambda 1.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> deltas = as_stack(torch.tensor([0.4, -0.2, 0.1]), torch.tensor([0.25, 0.45, -0.35]))
        >>> run_whole(emr(), deltas, Facts(shape=(3,)))
        tensor([ 0.4000,  0.4500, -0.3500])
        >>> run_whole(emr(task=0), deltas, Facts(shape=(3,)))
        tensor([0.7000, 0.0000, 0.0000])
    """
    return chain(take_largest_agreeing() if task is None else rebuild(task, mean))


def take_largest_agreeing() -> Step:
    """Keep, entry by entry, the operand of the largest magnitude among those with the sign of the sum.

    Shape: (models, *unit) -> (1, *unit)
    """
    return Step("take_largest_agreeing", lambda stack, facts: stack.reduced(largest_agreeing(stack.values)))  # noqa: ARG005


def rebuild(task: int, mean: MeanOf) -> Step:
    """The largest agreeing entries where one operand agrees, scaled to that operand's mean magnitude.

    Shape: (models, *unit) -> (1, *unit)
    """

    def apply(stack: Stack, facts: Facts) -> Stack:
        return stack.reduced(masked_agreeing(stack.values, task) * rescaler(facts.summary))

    return Step("rebuild", apply, magnitudes(task, mean), parameters={"task": task, "mean": mean})
