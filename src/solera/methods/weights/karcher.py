"""Riemannian (Karcher) mean of models on the sphere.

Source: no merging paper; Karcher, "Riemannian center of mass and mollifier smoothing" (1977); the method of this name
in arcee-ai/mergekit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from solera.errors import BadParameter
from solera.ops.combine import SMALL_SUM, Matrix, combine
from solera.ops.contract import Chain, chain
from solera.ops.fold import spread
from solera.ops.sphere import karcher_coefficients
from solera.registry import PerModel, Positive, Range, Weight, method
from solera.types import ELEMENT, WEIGHT, NumericClass


@method(
    "karcher",
    space=WEIGHT >> WEIGHT,
    grain=ELEMENT,
    symmetric=True,
    numeric=NumericClass.SAME_BUILD,
    paper="Karcher 1977",
    code="github.com/arcee-ai/mergekit",
    variants={"mergekit": {"drop_small": True}},
    parity="mergekit 0.1.5",
)
def karcher(
    weight: PerModel[Weight] = 1.0,
    *,
    max_iter: Annotated[int, Range(1)] = 10,
    tol: Positive = 1e-5,
    drop_small: bool = False,
) -> Chain:
    """Find the direction whose arcs to all models cancel, and give it the models' mean norm.

    out = mean_k |x_k| * u,  sum_k w_k log_u(x_k / |x_k|) = 0

    starting at the mean direction and stepping along the mean logarithm until that is shorter than `tol`. Every tensor
    is one long vector; zero tensors take no part in the direction.

    Args:
        weight: coefficient of each model; only ratios count.
        max_iter: most steps.
        tol: arcs shorter than this, in radians, count as none.
        drop_small: models whose tensor has a norm of at most `tol` take no part in the direction either.

    Raises:
        BadParameter: the weights add up to zero.

    Differs:
        mergekit (variant mergekit) uses `tol` as a norm too (`drop_small`), and has equal weights only.
        Directions are sums of the models, so all steps are taken on coefficients, in float64, from one table of inner
        products; a step to a model exactly opposite is left out.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> stack = as_stack(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0]))
        >>> run_whole(karcher(), stack, Facts(shape=(2,)))
        tensor([1.4142, 1.4142])
    """
    whole = sum(weight) if isinstance(weight, tuple) else weight
    if abs(whole) <= SMALL_SUM:
        raise BadParameter("`weight` adds up to zero.", got=weight, want="weights with another sum")

    def coefficients(gram: Matrix) -> Sequence[float]:
        floor = tol if drop_small else 0.0
        return karcher_coefficients(gram, spread(weight, len(gram)), max_iter=max_iter, tol=tol, floor=floor)

    return chain(combine(coefficients, name="karcher_mean"))
