"""Steps in the frequency domain: filters of operands, and exchange of frequencies between two of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from solera.ops.contract import Facts, Stack, Step
from solera.types import TENSOR

Reach = float
"""A radius as a share of a side."""


def high_pass(share: Reach, *, ring_twice: bool = False) -> Step:
    """Take the lowest frequencies out of every matrix; numbers and vectors stay.

    A frequency stays where its indices lie within `share` times the shorter side of the middle of the spectrum, where
    the highest frequencies are. More than two axes are matrices (out, rest), or one matrix for each of the first axis
    of three.

    Shape: (models, *unit) -> (models, *unit)
    Cost: two Fourier transforms per operand, in float64.

    Args:
        share: radius; from 0.71 on nothing leaves a square matrix.
        ring_twice: frequencies at exactly a tenth of the shorter side (rounded down) from the middle count twice.

    Example:
        >>> from solera.ops.contract import as_stack
        >>> stack = as_stack(torch.tensor([[1.0, 1.0], [1.0, 3.0]]))
        >>> high_pass(0.5)(stack, Facts(shape=(2, 2))).values.tolist()
        [[[-0.5, -0.5], [-0.5, 1.5]]]
    """

    def apply(stack: Stack, facts: Facts) -> Stack:
        if len(facts.shape) < 2 or stack.values[0].numel() == 0:
            return stack
        matrices = as_matrices(facts.shape)
        gain = ring_gain(matrices[-2:], share, ring_twice=ring_twice).to(stack.values.device)
        return stack.but(torch.stack([_filtered(value.reshape(matrices), gain) for value in stack.values]).reshape(
            stack.values.shape
        ))  # fmt: skip

    return Step("high_pass", apply, grain=TENSOR, parameters={"share": share, "ring_twice": ring_twice})


def as_matrices(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a leaf as matrices: three axes are a batch, more are (out, rest).

    Example:
        >>> as_matrices((4, 3, 2)), as_matrices((4, 3, 2, 2))
        ((4, 3, 2), (4, 12))
    """
    return tuple(shape) if len(shape) < 4 else (shape[0], math.prod(shape[1:]))


def ring_gain(sides: Sequence[int], share: float, *, ring_twice: bool = False) -> Tensor:
    """What every frequency of a matrix is multiplied by: 1 near the middle of the spectrum, else 0.

    Example:
        >>> ring_gain((4, 4), 0.5).tolist()
        [[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]]
    """
    rows, columns = (torch.arange(side, dtype=torch.float64) - side // 2 for side in sides)
    distance = (rows[:, None] ** 2 + columns[None, :] ** 2).sqrt()
    gain = (distance <= min(sides) * share).to(torch.float64)
    return gain * (1.0 + (distance == min(sides) // 10)) if ring_twice else gain


def exchange_frequencies(alpha: float, tilt: float) -> Step:
    """Take the low frequencies of one operand and the high ones of another, over all axes of the tensor.

    Shape: (2, *unit) -> (1, *unit)
    Cost: three Fourier transforms, in float64.

    Args:
        alpha: 0 gives the first operand, 1 the second.
        tilt: 0 cuts between two frequencies; up to 1, where all are mixed alike, the cut is a slope.

    Example:
        >>> from solera.ops.contract import as_stack
        >>> stack = as_stack(torch.tensor([1.0, 3.0]), torch.tensor([10.0, 20.0]))
        >>> exchange_frequencies(0.5, 0.0)(stack, Facts(shape=(2,))).values.tolist()
        [[-3.0, 7.0]]
    """

    def apply(stack: Stack, facts: Facts) -> Stack:
        first, second = (value.to(torch.float64) for value in stack.values)
        if not facts.shape or first.numel() == 0 or tilt == 1 or alpha in (0, 1):
            mixed = first * (1.0 - alpha) + second * alpha
        else:
            here, there = torch.fft.rfftn(first), torch.fft.rfftn(second)
            mix = slope(here.shape, alpha, tilt).to(here.device)
            mixed = torch.fft.irfftn(here * (1.0 - mix) + there * mix, s=facts.shape)
        return stack.reduced(mixed.to(stack.values.dtype))

    return Step("exchange_frequencies", apply, grain=TENSOR, parameters={"alpha": alpha, "tilt": tilt})


def slope(shape: Sequence[int], alpha: float, tilt: float) -> Tensor:
    """Share of the second operand in every frequency of a real spectrum.

    Example:
        >>> slope((5,), 0.5, 0.0).tolist()
        [0.0, 0.0, 0.0, 1.0, 1.0]
    """
    squares = torch.zeros(tuple(shape), dtype=torch.float64)
    for axis, side in enumerate(shape):
        place = _heights(side, last=axis == len(shape) - 1) ** 2
        squares = squares + place.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    height = (squares / len(shape)).sqrt()
    if tilt == 0:
        return (height > 1.0 - alpha).to(torch.float64)
    cotangent = 1.0 / math.tan(math.pi * tilt / 2.0)
    return (height * cotangent + alpha * cotangent + alpha - cotangent).clamp(0.0, 1.0)


def _heights(side: int, *, last: bool) -> Tensor:
    """Heights of the frequencies along an axis, 0 to 1; negative ones are in the second half, except on the last."""
    if last or side == 1:
        return torch.linspace(0, 1, side, dtype=torch.float64)
    half = side // 2
    up = torch.linspace(0, (side - 1) // 2, side - half, dtype=torch.float64)
    return torch.cat([up, torch.linspace(half, 1, half, dtype=torch.float64)]) / half


def _filtered(matrix: Tensor, gain: Tensor) -> Tensor:
    filtered: Tensor = torch.fft.ifft2(torch.fft.fft2(matrix.to(torch.float64)) * gain).real
    return filtered.to(matrix.dtype)
