"""Coefficients of the spherical methods and of Model Stock, from inner products and the methods' parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

from solera.ops.kernels.recipe import Matrix
from solera.ops.kernels.stages import SMALL_SUM, Shares, spread
from solera.ops.sphere import karcher_coefficients, mean_direction_coefficients, slerp_coefficients

Coefficients = Callable[[Matrix], Sequence[float]]


class NoKernelError(ValueError):
    """These options have no kernel."""


def slerp(models: int, *, t: float, lerp_above: float = 1.0) -> Coefficients:  # noqa: ARG001
    """Between the base and a model, or two models."""

    def find(gram: Matrix) -> Sequence[float]:
        return (1.0,) if len(gram) == 1 else slerp_coefficients(gram, t, lerp_above=lerp_above, floor=1e-8)

    return find


def nuslerp(models: int, *, weight: Shares = 1.0) -> Coefficients:  # noqa: ARG001
    """Between two models by weights."""
    first, second = spread(weight, 2)
    whole = first + second
    t = 0.5 if abs(whole) < 1e-6 else second / whole
    return lambda gram: slerp_coefficients(gram, t, floor=1e-7)


def multislerp(
    models: int, *, weight: Shares = 1.0, normalize_weights: bool = True, eps: float = 1e-8, soften: bool = False
) -> Coefficients:
    """Mean direction at the mean norm."""
    weights = spread(weight, models)
    divisor = sum(weights) if normalize_weights else 1.0
    if abs(divisor) <= SMALL_SUM:
        raise NoKernelError

    def find(gram: Matrix) -> Sequence[float]:
        shares = [w / divisor for w in weights]
        found = mean_direction_coefficients(gram, shares, small=eps, add=eps if soften else 0.0)
        return [factor * math.cos(eps) for factor in found] if soften else found

    return find


def karcher(
    models: int, *, weight: Shares = 1.0, max_iter: int = 10, tol: float = 1e-5, drop_small: bool = False
) -> Coefficients:
    """Riemannian mean direction at the mean norm."""
    weights = spread(weight, models)
    floor = tol if drop_small else 0.0
    return lambda gram: karcher_coefficients(gram, weights, max_iter=max_iter, tol=tol, floor=floor)


def model_stock(
    models: int, *, average: str = "cosine", clamp: bool = False, least_product: float = 0.0
) -> Coefficients:
    """Equal coefficients t / N."""

    def find(gram: Matrix) -> Sequence[float]:
        cosines = [_cosine(gram, i, j, least_product) for i, j in combinations(range(models), 2)]
        t = _ratio(_mean(cosines, average), models)
        return ((min(max(t, 0.0), 1.0) if clamp else t) / models,) * models

    return find


def _cosine(gram: Matrix, i: int, j: int, least_product: float) -> float:
    product = max(math.sqrt(gram[i][i]) * math.sqrt(gram[j][j]), least_product)
    return min(max(gram[i][j] / product, -1.0), 1.0) if product > 0 else 0.0


def _mean(cosines: Sequence[float], average: str) -> float:
    if average == "angle":
        return math.cos(sum(math.acos(cosine) for cosine in cosines) / len(cosines))
    return sum(cosines) / len(cosines)


def _ratio(cosine: float, models: int) -> float:
    below = 1.0 + (models - 1) * cosine
    return models * cosine / below if below != 0 else 0.0
