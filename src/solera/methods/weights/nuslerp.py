"""Spherical interpolation between two models or task vectors, by weights.

Source: no paper; the method of this name in arcee-ai/mergekit.
"""

from __future__ import annotations

from collections.abc import Sequence

from solera.ops.combine import Matrix, combine, combine_rows
from solera.ops.contract import Chain, chain
from solera.ops.fold import spread
from solera.ops.sphere import slerp_coefficients
from solera.registry import PerModel, Weight, method
from solera.types import EITHER, ELEMENT, NumericClass


@method(
    "nuslerp",
    space=EITHER >> EITHER,
    grain=ELEMENT,
    symmetric=True,
    numeric=NumericClass.SAME_BUILD,
    base="optional",
    models=(2, 2),
    code="github.com/arcee-ai/mergekit",
    variants={"mergekit": {}},
    parity="mergekit 0.1.5",
)
def nuslerp(weight: PerModel[Weight] = 1.0, *, flatten: bool = True, row_wise: bool = False) -> Chain:
    """Interpolate between two models along the arc that they span; with a base, between their task vectors.

    out = sin((1 - t) w) / sin(w) * a + sin(t w) / sin(w) * b,  t = w_b / (w_a + w_b)

    with w the angle between a and b. Parallel or opposite vectors are interpolated along the chord. A zero vector is at
    a right angle to any other: 0/0 is 0.

    Args:
        weight: coefficient of each model; only their ratio counts. Weights that add up to less than 1e-6 in magnitude
            give t = 1/2.
        flatten: every tensor is one long vector; false interpolates vector by vector along one axis.
        row_wise: that axis is the first (each vector a column) instead of the last. The name is mergekit's.

    Differs:
        The angle is taken in float64 from exact inner products, where mergekit's float32 arc cosine is noisy for close
        models; both take the chord for parallel ones.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> stack = as_stack(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0]))
        >>> run_whole(nuslerp(weight=(1.0, 1.0)), stack, Facts(shape=(2,)))
        tensor([0.7071, 1.4142])
    """
    first, second = spread(weight, 2)
    whole = first + second
    t = 0.5 if abs(whole) < 1e-6 else second / whole

    def coefficients(gram: Matrix) -> Sequence[float]:
        return slerp_coefficients(gram, t, floor=1e-7)

    if flatten:
        return chain(combine(coefficients, name="nuslerp"))
    return chain(combine_rows(coefficients, name="nuslerp_rows", axis=0 if row_wise else -1))
