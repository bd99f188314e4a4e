"""Move the base towards a model where the two are close.

Source: no paper; the method of this name in arcee-ai/mergekit, after alchemonaut's NearSwap.
"""

from __future__ import annotations

from typing import Annotated

from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.registry import Range, method
from solera.types import ELEMENT, WEIGHT, NumericClass


@method(
    "nearswap",
    space=WEIGHT >> WEIGHT,
    grain=ELEMENT,
    symmetric=False,
    numeric=NumericClass.EXACT,
    base="required",
    models=(1, 1),
    code="github.com/arcee-ai/mergekit",
    variants={"mergekit": {}},
    parity="mergekit 0.1.5",
)
def nearswap(t: Annotated[float, Range(0)]) -> Chain:
    """Interpolate from the base to the model, entry by entry, the further the closer the two are.

    out = v x + (1 - v) base,  v = min(t / max(|x - base|, 1e-6), 1)

    Entries that differ by at most t are swapped; the others move by t.

    Args:
        t: distance up to which entries are swapped; in the order of the changes, for instance 0.001.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> stack = as_stack(torch.tensor([1.5, 3.0]), base=torch.tensor([1.0, 1.0]))
        >>> run_whole(nearswap(t=0.5), stack, Facts(shape=(2,)))
        tensor([1.5000, 1.5000])
    """
    return chain(swap_near(t))


def swap_near(t: float) -> Step:
    """Interpolate entry by entry from the base to the one operand.

    Shape: (1, *unit) -> (1, *unit)
    """

    def apply(stack: Stack, facts: Facts) -> Stack:  # noqa: ARG001
        assert stack.base is not None
        near = (t / (stack.base - stack.values).abs().clamp(min=1e-6)).clamp(0.0, 1.0)
        return stack.but(near * stack.values + (1.0 - near) * stack.base)

    return Step("swap_near", apply, parameters={"t": t})
