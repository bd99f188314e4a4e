"""Spherical interpolation between two models.

Sources: Shoemake, "Animating rotation with quaternion curves" (1985), applied to every tensor as one long vector; the
method of this name in arcee-ai/mergekit.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from solera.ops.combine import Matrix, combine
from solera.ops.contract import Chain, Stack, chain
from solera.ops.sphere import slerp_coefficients
from solera.registry import Fraction, method
from solera.types import ELEMENT, WEIGHT, NumericClass


@method(
    "slerp",
    space=WEIGHT >> WEIGHT,
    grain=ELEMENT,
    symmetric=False,
    numeric=NumericClass.SAME_BUILD,
    base="optional",
    models=(1, 2),
    paper="Shoemake 1985",
    code="github.com/arcee-ai/mergekit",
    variants={"mergekit": {"lerp_above": 0.9995}},
    parity="mergekit 0.1.5",
)
def slerp(t: Fraction, *, lerp_above: Fraction = 1.0) -> Chain:
    """Interpolate between two models along the arc that their weights span.

    out = sin((1 - t) w) / sin(w) * a + sin(t w) / sin(w) * b,  cos(w) = <a, b> / (|a| |b|)

    a is the base and b the one model; or, where two models are given, a the first and b the second. Every tensor is one
    long vector. Tensors that are parallel or opposite are interpolated along the chord. A zero tensor is at a right
    angle to any other: 0/0 is 0.

    Args:
        t: position on the arc: 0 gives a, 1 gives b.
        lerp_above: where |cos(w)| is above this, the chord stands in for the arc.

    Differs:
        mergekit (variant mergekit) takes the chord from |cos(w)| 0.9995 on, where nearly all fine-tuned siblings lie.
        A base given beside two models takes no part. One model without a base is copied.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> stack = as_stack(torch.tensor([0.0, 2.0]), base=torch.tensor([1.0, 0.0]))
        >>> run_whole(slerp(t=0.5), stack, Facts(shape=(2,)))
        tensor([0.7071, 1.4142])
    """

    def coefficients(gram: Matrix) -> Sequence[float]:
        if len(gram) == 1:
            return (1.0,)
        return slerp_coefficients(gram, t, lerp_above=lerp_above, floor=1e-8)

    return chain(combine(coefficients, name="slerp", of=ends))


def ends(stack: Stack) -> Sequence[Tensor]:
    """The two ends of the arc; one where there is neither a base nor a second model."""
    base = () if stack.base is None or stack.models > 1 else (stack.base,)
    return (*base, *stack.values)
