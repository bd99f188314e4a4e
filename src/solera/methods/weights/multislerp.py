"""Mean direction of any number of models or task vectors, at their mean norm.

Source: no paper; the method of this name in arcee-ai/mergekit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from solera.errors import BadParameter
from solera.ops.combine import SMALL_SUM, Matrix, combine
from solera.ops.contract import Chain, chain
from solera.ops.fold import spread
from solera.ops.sphere import mean_direction_coefficients
from solera.registry import PerModel, Range, Weight, method
from solera.types import EITHER, ELEMENT, NumericClass


@method(
    "multislerp",
    space=EITHER >> EITHER,
    grain=ELEMENT,
    symmetric=True,
    numeric=NumericClass.SAME_BUILD,
    base="optional",
    code="github.com/arcee-ai/mergekit",
    variants={"mergekit": {"soften": True}},
    parity="mergekit 0.1.5",
)
def multislerp(
    weight: PerModel[Weight] = 1.0,
    *,
    normalize_weights: bool = True,
    eps: Annotated[float, Range(0)] = 1e-8,
    soften: bool = False,
) -> Chain:
    """Take the weighted mean direction at the weighted mean norm; with a base, of the task vectors.

    out = m / |m| * sum_k w_k |x_k|,  m = sum_k w_k x_k / |x_k|

    Every tensor is one long vector. The unit vector of a zero tensor is zero: 0/0 is 0.

    Args:
        weight: coefficient of each model.
        normalize_weights: divide the weights by their sum first.
        eps: where |m| is no larger than this, directions cancel and the weighted sum is taken instead.
        soften: divide by |x_k| + eps instead of |x_k|, and multiply the result by cos(eps).

    Raises:
        BadParameter: the weights add up to zero and are to be divided by.

    Differs:
        mergekit (variant mergekit) adds eps to norms (`soften`), which shows for an eps far above its default.
        It writes the mean direction, then a walk along the mean tangent; that tangent is zero by its definition,
        and the closed form is what is left.
        Where the directions of three or more models cancel, mergekit stops; here the weighted sum is taken, as for two.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> stack = as_stack(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0]))
        >>> run_whole(multislerp(), stack, Facts(shape=(2,)))
        tensor([1.4142, 1.4142])
    """
    whole = sum(weight) if isinstance(weight, tuple) else weight
    if normalize_weights and abs(whole) <= SMALL_SUM:
        fix = "set `normalize_weights: false`"
        raise BadParameter("`weight` adds up to zero.", got=weight, want="weights with another sum", fix=fix)

    def coefficients(gram: Matrix) -> Sequence[float]:
        weights = spread(weight, len(gram))
        divisor = sum(weights) if normalize_weights else 1.0
        found = mean_direction_coefficients(gram, [w / divisor for w in weights], small=eps, add=eps if soften else 0.0)
        return [factor * math.cos(eps) for factor in found] if soften else found

    return chain(combine(coefficients, name="mean_direction"))
