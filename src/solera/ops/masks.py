"""Masks of single tasks over what all tasks share: the mathematics of TALL masks and EMR-Merging, and their bits.

Methods rebuild one model with them; packs keep them, eight to a byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from solera.errors import BadParameter, ShapeMismatch
from solera.ops.contract import Facts, Stack
from solera.ops.fold import total
from solera.ops.summaries import Sums
from solera.types import Scope

MeanOf = Literal["tensor", "element"]


def stands_out(values: Tensor, added: Tensor, threshold: Tensor | float) -> Tensor:
    """Where values are larger than the threshold times the rest of the sum.

    Example:
        >>> own, added = torch.tensor([0.4, -0.2]), torch.tensor([0.65, 0.25])
        >>> stands_out(own, added, 1.0)
        tensor([ True, False])
    """
    return values.abs() > threshold * (added - values).abs()


def one_of(values: Tensor, task: int) -> Tensor:
    """The operand of one task.

    Raises:
        BadParameter: there is no such operand.

    Example:
        >>> one_of(torch.tensor([[1.0], [2.0]]), 1)
        tensor([2.])
    """
    if task >= values.shape[0]:
        raise BadParameter("`task` is no model.", got=task, want=f"0 to {values.shape[0] - 1}")
    return values[task]


def elected_sign(values: Tensor) -> Tensor:
    """1 where the sum over models is above 0, else -1.

    Example:
        >>> elected_sign(torch.tensor([[3.0, 1.0], [-1.0, -1.0]]))
        tensor([ 1., -1.])
    """
    return torch.where(total(values) > 0, 1.0, -1.0).to(values.dtype)


def largest_agreeing(values: Tensor) -> Tensor:
    """The entry of the largest magnitude among those with the sign of the sum; 0 where none has it.

    Shape: (models, *unit) -> (*unit)

    Example:
        >>> largest_agreeing(torch.tensor([[0.4, -0.2], [0.25, 0.45]]))
        tensor([0.4000, 0.4500])
    """
    sign = elected_sign(values)
    return (values * sign).amax(0).clamp(min=0.0) * sign


def agrees(own: Tensor, values: Tensor) -> Tensor:
    """Where a task's entry has the sign of the sum.

    Example:
        >>> values = torch.tensor([[0.4, -0.2], [0.25, 0.45]])
        >>> agrees(values[0], values)
        tensor([ True, False])
    """
    return own * elected_sign(values) > 0


def masked_agreeing(values: Tensor, task: int) -> Tensor:
    """The largest agreeing entries where one task agrees; 0 elsewhere.

    Raises:
        BadParameter: there is no such task.
    """
    return torch.where(agrees(one_of(values, task), values), largest_agreeing(values), 0.0)


def magnitudes(task: int, mean: MeanOf = "tensor") -> Sums:
    """Magnitudes of one task's operand (``before``) and of its masked agreeing entries (``after``), over all tensors.

    Args:
        task: place of the operand.
        mean: ``tensor`` sums the tensors' means, ``element`` all entries.
    """

    def terms(stack: Stack, facts: Facts) -> Mapping[str, Tensor]:
        entries = torch.Size(facts.shape).numel() if mean == "tensor" else 1
        own, masked = one_of(stack.values, task).to(torch.float64), masked_agreeing(stack.values, task)
        return {"before": own.abs().unsqueeze(0) / entries, "after": masked.abs().unsqueeze(0) / entries}

    return Sums(terms, scope=Scope.POPULATION)


def rescaler(found: Mapping[str, Sequence[float]]) -> float:
    """What brings masked entries to the operand's magnitude; 0 / 0 is 0: nothing is left to be scaled there.

    Example:
        >>> rescaler({"before": (3.0,), "after": (2.0,)}), rescaler({})
        (1.5, 0.0)
    """
    before, after = found.get("before", (0.0,))[0], found.get("after", (0.0,))[0]
    return before / after if after > 0 else 0.0


def bits_of(mask: Tensor) -> Tensor:
    """Eight entries to a byte, row by row, the first in the lowest bit; the last byte is filled with zeros.

    Shape: (*unit) -> (ceil(entries / 8),), uint8

    Example:
        >>> bits_of(torch.tensor([True, False, True, True, False, False, False, False, True]))
        tensor([13,  1], dtype=torch.uint8)
    """
    flat = mask.reshape(-1).to(torch.uint8)
    padded = torch.nn.functional.pad(flat, (0, -flat.numel() % 8)).reshape(-1, 8)
    return (padded << _places(mask)).sum(-1, dtype=torch.uint8)


def mask_of(bits: Tensor, shape: Sequence[int]) -> Tensor:
    """The inverse of `bits_of`: a boolean tensor of that shape.

    Raises:
        ShapeMismatch: there are not as many bytes as the shape needs.

    Example:
        >>> mask_of(torch.tensor([13, 1], dtype=torch.uint8), (3, 3)).int()
        tensor([[1, 0, 1],
                [1, 0, 0],
                [0, 0, 1]], dtype=torch.int32)
    """
    entries = torch.Size(shape).numel()
    if bits.dtype != torch.uint8 or bits.dim() != 1 or bits.numel() != bytes_for(entries):
        got = f"{bits.numel()} of {bits.dtype}".replace("torch.", "")
        raise ShapeMismatch("A mask has another size.", got=got, want=f"{bytes_for(entries)} bytes for {entries} bits")
    spread = (bits.unsqueeze(-1) >> _places(bits)) & 1
    return spread.reshape(-1)[:entries].bool().reshape(tuple(shape))


def bytes_for(entries: int) -> int:
    """Bytes that so many bits take.

    Example:
        >>> bytes_for(0), bytes_for(8), bytes_for(9)
        (0, 1, 2)
    """
    return -(-entries // 8)


def _places(like: Tensor) -> Tensor:
    return torch.arange(8, dtype=torch.uint8, device=like.device)
