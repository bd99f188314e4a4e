"""How a law speaks: `LawBroken`, and comparisons that raise it."""

from __future__ import annotations

import torch
from torch import Tensor

from solera.errors import Fault

_BITS = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
}


class LawBroken(AssertionError):
    """A method does not do what its card, or the contract of methods, promises."""


def demand(holds: object, what: str, *, where: object = "", got: object = "", want: object = "", fix: str = "") -> None:
    """Raise unless `holds`.

    Raises:
        LawBroken: in the house form.
    """
    if not holds:
        raise LawBroken(str(Fault(what, str(where), str(got), str(want), fix)))


def same_bits(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors agree in type, shape and every bit; 0.0 and -0.0 differ.

    Example:
        >>> same_bits(torch.zeros(1), torch.zeros(1)), same_bits(torch.zeros(1), -torch.zeros(1))
        (True, False)
    """
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    bits = _BITS.get(left.dtype, left.dtype)
    return torch.equal(left.contiguous().view(bits), right.contiguous().view(bits))


def distance(left: Tensor, right: Tensor) -> float:
    """Largest |left - right| over largest |right|; infinite where shapes differ or a number is not finite.

    Example:
        >>> distance(torch.tensor([1.0, 4.0]), torch.tensor([2.0, 4.0]))
        0.25
    """
    if left.shape != right.shape or not (left.isfinite().all() and right.isfinite().all()):
        return float("inf")
    gap = float((left.double() - right.double()).abs().max()) if left.numel() else 0.0
    scale = float(right.double().abs().max()) if right.numel() else 0.0
    return gap / scale if scale else gap
