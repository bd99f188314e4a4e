"""Folds over the model axis: left to right, one plain multiplication and addition at a time.

Nothing here fuses a multiplication with an addition, so the result is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from solera.errors import BadParameter


def flat(values: Tensor) -> Tensor:
    """View (models, *unit) as (models, elements).

    Example:
        >>> flat(torch.zeros(2, 3, 4)).shape, flat(torch.zeros(2)).shape, flat(torch.zeros(2, 0)).shape
        (torch.Size([2, 12]), torch.Size([2, 1]), torch.Size([2, 0]))
    """
    return values.reshape(values.shape[0], values[0].numel())


def total(values: Tensor) -> Tensor:
    """Sum over models, left to right.

    Example:
        >>> total(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([4., 6.])
    """
    result = values[0]
    for value in values[1:]:
        result = result + value
    return result


def weighted_total(values: Sequence[Tensor] | Tensor, weights: Sequence[float]) -> Tensor:
    """Sum of weight times operand, left to right.

    Example:
        >>> weighted_total(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), (0.5, 2.0))
        tensor([6.5000, 9.0000])
    """
    result = values[0] * weights[0]
    for value, weight in zip(values[1:], weights[1:], strict=True):
        result = result + value * weight
    return result


def variance(values: Tensor) -> Tensor:
    """Population variance over models by Welford's recurrence; exactly 0 where all models agree.

    Example:
        >>> variance(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
        tensor([1., 0.])
    """
    mean, squares = values[0], torch.zeros_like(values[0])
    for count, value in enumerate(values[1:], start=2):
        offset = value - mean
        mean = mean + offset / count
        squares = squares + offset * (value - mean)
    return squares / values.shape[0]


def spread(value: float | Sequence[float], models: int, *, name: str = "weight") -> tuple[float, ...]:
    """One number per model from one for all or a sequence.

    Raises:
        BadParameter: the sequence is not as long as there are models.

    Example:
        >>> spread(0.5, 2), spread((1.0, 2.0), 2)
        ((0.5, 0.5), (1.0, 2.0))
    """
    if isinstance(value, (int, float)):
        return (float(value),) * models
    if len(value) != models:
        raise BadParameter(
            f"`{name}` has the wrong number of values.",
            got=f"{len(value)} values",
            want=f"one for all, or one for each of {models} models",
        )
    return tuple(float(v) for v in value)


def per_model(factors: Sequence[float], values: Tensor) -> Tensor:
    """`factors` shaped so that they multiply `values` model by model, in the values' type."""
    column = torch.tensor(factors, dtype=values.dtype, device=values.device)
    return column.reshape(-1, *[1] * (values.dim() - 1))
