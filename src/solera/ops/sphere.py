"""Coefficients of spherical means, from inner products alone (float64).

Every direction here is a sum of the operands with coefficients, so its norm and its angles follow from the operands'
inner products: the tensors themselves are read once for those and once to be combined.

The unit vector of a zero operand is zero, and so are all its cosines: 0/0 is 0 by definition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the kernels use these coefficients without torch
    from solera.ops.combine import Matrix

Vector = Sequence[float]

COLINEAR = 1e-6
"""Sines below this: the arc is replaced by the chord, from which it differs by less than float64 can tell."""


def slerp_coefficients(gram: Matrix, t: float, *, lerp_above: float = 1.0, floor: float = 0.0) -> tuple[float, float]:
    """Coefficients of spherical interpolation between two operands.

    sin((1 - t) w) / sin(w) and sin(t w) / sin(w), w being the angle between them; 1 - t and t where |cos w| is above
    `lerp_above` or the two are parallel or opposite. An operand with norm not above `floor` is at a right angle.

    Example:
        >>> [round(c, 6) for c in slerp_coefficients(((1.0, 0.0), (0.0, 4.0)), 0.25)]
        [0.92388, 0.382683]
    """
    norms = [math.sqrt(gram[0][0]), math.sqrt(gram[1][1])]
    cosine = _clamped(_ratio(gram[0][1], norms[0] * norms[1])) if min(norms) > floor else 0.0
    angle = math.acos(cosine)
    sine = math.sin(angle)
    if abs(cosine) > lerp_above or sine < COLINEAR:
        return 1.0 - t, t
    return math.sin((1.0 - t) * angle) / sine, math.sin(t * angle) / sine


def mean_direction_coefficients(
    gram: Matrix, weights: Vector, *, small: float = 1e-8, add: float = 0.0
) -> tuple[float, ...]:
    """Coefficients of the normalised weighted sum of unit vectors, times the weighted sum of norms.

    A sum of unit vectors no longer than `small` has no direction: the weights themselves are returned then. `add` is
    added to the norms that vectors are divided by.

    Example:
        >>> mean_direction_coefficients(((4.0, 0.0), (0.0, 4.0)), (0.5, 0.5))
        (0.7071067811865475, 0.7071067811865475)
    """
    norms = [math.sqrt(row[k]) for k, row in enumerate(gram)]
    parts = [_ratio(weight, norm + add) for weight, norm in zip(weights, norms, strict=True)]
    length = math.sqrt(max(_inner(parts, gram, parts), 0.0))
    if length <= small:
        return tuple(weights)
    scale = sum(weight * norm for weight, norm in zip(weights, norms, strict=True))
    return tuple(part * scale / length for part in parts)


def karcher_coefficients(
    gram: Matrix, weights: Vector, *, max_iter: int, tol: float, floor: float = 0.0
) -> tuple[float, ...]:
    """Coefficients of the Riemannian mean direction on the sphere, times the weighted mean of norms.

    Operands with norm not above `floor` take no part in the direction; their norm counts.

    Example:
        >>> karcher_coefficients(((4.0, 0.0), (0.0, 4.0)), (0.5, 0.5), max_iter=10, tol=1e-5)
        (0.7071067811865475, 0.7071067811865475)
    """
    norms = [math.sqrt(row[k]) for k, row in enumerate(gram)]
    shares = _normalised([w if norm > floor else 0.0 for w, norm in zip(weights, norms, strict=True)])
    cosines = [[_ratio(inner, norms[i] * norms[j]) for j, inner in enumerate(row)] for i, row in enumerate(gram)]
    mean = _unit(shares, cosines, tol) or _first(shares)
    for _ in range(max_iter):
        step = _mean_tangent(mean, cosines, shares, tol)
        length = math.sqrt(max(_inner(step, cosines, step), 0.0))
        if length < tol:
            break
        moved = [math.cos(length) * u + math.sin(length) / length * s for u, s in zip(mean, step, strict=True)]
        mean = _unit(moved, cosines, 0.0) or mean
    scale = sum(share * norm for share, norm in zip(_normalised(weights), norms, strict=True))
    return tuple(scale * _ratio(u, norm) for u, norm in zip(mean, norms, strict=True))


def _mean_tangent(mean: Vector, cosines: Sequence[Vector], shares: Vector, tol: float) -> list[float]:
    """Weighted mean of the logarithms of all operands at `mean`, in coefficients of unit vectors."""
    tangent = [0.0] * len(mean)
    for k, share in enumerate(shares):
        cosine = _clamped(sum(u * cosines[j][k] for j, u in enumerate(mean)))
        angle = math.acos(cosine)
        if share == 0 or angle < tol or math.sin(angle) == 0:
            continue
        pull = share * angle / math.sin(angle)
        tangent = [own - pull * cosine * u for own, u in zip(tangent, mean, strict=True)]
        tangent[k] += pull
    return tangent


def _unit(vector: Vector, gram: Sequence[Vector], small: float) -> list[float]:
    """The vector at length 1; empty where it is no longer than `small`."""
    length = math.sqrt(max(_inner(vector, gram, vector), 0.0))
    return [part / length for part in vector] if length > small else []


def _first(shares: Vector) -> list[float]:
    """The first operand that takes part; nothing where none does."""
    chosen = next((k for k, share in enumerate(shares) if share != 0), -1)
    return [1.0 if k == chosen else 0.0 for k in range(len(shares))]


def _inner(left: Vector, gram: Sequence[Vector], right: Vector) -> float:
    return sum(a * sum(g * b for g, b in zip(row, right, strict=True)) for a, row in zip(left, gram, strict=True))


def _normalised(weights: Vector) -> list[float]:
    whole = sum(weights)
    return [_ratio(weight, whole) for weight in weights]


def _ratio(above: float, below: float) -> float:
    """0/0 is 0 by definition; so is anything over 0."""
    return above / below if below != 0 else 0.0


def _clamped(cosine: float) -> float:
    return min(max(cosine, -1.0), 1.0)
