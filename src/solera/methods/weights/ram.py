"""Average shared changes, keep unique ones whole: RAM and RAM+.

Sources: "Behavior Knowledge Merge in Reinforced Agentic Models" (arXiv:2601.13572); official code xiangchi-yuan/mrl,
ram-main.py; the methods `ram` and `ramplus_tl` in mergekit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.ops.fold import per_model, total
from solera.ops.summaries import Counts
from solera.registry import Range, method
from solera.types import DELTA, ELEMENT, NumericClass, Scope

Threshold = Annotated[float, Range(0)]

PAPER = "arXiv:2601.13572"
CODE = "github.com/xiangchi-yuan/mrl"
WHY_NOT = "entries that changed by no more than epsilon return to the base"


@method(
    "ram",
    space=DELTA >> DELTA,
    grain=ELEMENT,
    symmetric=True,
    numeric=NumericClass.EXACT,
    base="required",
    paper=PAPER,
    code=CODE,
    variants={"mergekit": {}},
    idempotent=WHY_NOT,
    parity="mergekit 0.1.5",
)
def ram(*, epsilon: Threshold = 1e-5) -> Chain:
    """Average every entry over the models that changed it.

    out = base + sum_k a_k d_k / max(sum_k a_k, 1),  a_k = 1 where |d_k| > epsilon, else 0

    Args:
        epsilon: an entry counts as changed when it differs from the base by more than this.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> deltas = as_stack(torch.tensor([0.5, 0.0]), torch.tensor([0.25, -1.0]))
        >>> run_whole(ram(), deltas, Facts(shape=(2,)))
        tensor([ 0.3750, -1.0000])
    """
    return chain(average_changed(epsilon))


@method(
    "ramplus_tl",
    space=DELTA >> DELTA,
    grain=ELEMENT,
    symmetric=True,
    numeric=NumericClass.EXACT,
    base="required",
    paper=PAPER,
    code=CODE,
    variants={"mergekit": {}, "official": {"r": 0.2, "alpha": 1.0, "scope": "population"}},
    idempotent=WHY_NOT,
    parity="mergekit 0.1.5",
)
def ramplus_tl(
    *,
    epsilon: Threshold = 1e-5,
    r: Annotated[float, Range(0)] = 0.1,
    alpha: Annotated[float, Range(0)] = 0.2,
    scope: Literal["tensor", "population"] = "tensor",
) -> Chain:
    """Average every entry over the models that changed it, and enlarge those that one model alone changed.

    out = base + sum_k a_k f_k d_k / max(sum_k a_k, 1)

    where f_k is 1 + r min(shared_k / unique_k, alpha) for entries that only model k changed, else 1. shared_k and
    unique_k count the entries that k changed with others and alone.

    Args:
        epsilon: an entry counts as changed when it differs from the base by more than this.
        r: how much unique entries grow.
        alpha: the largest ratio of shared to unique entries that counts.
        scope: entries are counted in every tensor on its own, or in all tensors together (population).

    Differs:
        Defaults are mergekit's tensor-local form. Official code (variant official, its RAM+ at rescale 1.2) counts over
        all tensors, and its rescale r is 1 + r here.
        A model without unique entries has nothing to enlarge; official code divides by zero there.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> deltas = as_stack(torch.tensor([0.5, 0.0]), torch.tensor([0.25, -1.0]))
        >>> run_whole(ramplus_tl(r=0.5, alpha=1.0), deltas, Facts(shape=(2,)))
        tensor([ 0.3750, -1.5000])
    """
    return chain(average_changed(epsilon, boost=(r, alpha), scope=Scope(scope)))


def average_changed(epsilon: float, *, boost: tuple[float, float] | None = None, scope: Scope = Scope.TENSOR) -> Step:
    """Average every entry over the operands that changed it; `boost` (r, alpha) enlarges entries of one operand.

    Shape: (models, *unit) -> (1, *unit)
    """

    def apply(stack: Stack, facts: Facts) -> Stack:
        changed = (stack.values.abs() > epsilon).to(stack.values.dtype)
        sharing = total(changed)
        kept = stack.values * changed
        if boost is not None:
            factors = per_model(_factors(facts.summary, *boost), kept)
            kept = torch.where(sharing == 1, kept * factors, kept)
        return stack.reduced(total(kept) / sharing.clamp(min=1.0))

    def counts(stack: Stack, facts: Facts) -> Mapping[str, Tensor]:  # noqa: ARG001
        changed = stack.values.abs() > epsilon
        sharing = changed.sum(0)
        return {"shared": changed & (sharing > 1), "unique": changed & (sharing == 1)}

    summary = Counts(counts, scope) if boost is not None else None
    return Step(
        "average_changed", apply, summary, parameters={"epsilon": epsilon, "boost": boost, "scope": scope.value}
    )


def _factors(found: Mapping[str, Sequence[int]], r: float, alpha: float) -> list[float]:
    ratios = [s / u if u else alpha for s, u in zip(found["shared"], found["unique"], strict=True)]
    return [1.0 + r * min(ratio, alpha) for ratio in ratios]
