"""Rows of a new router: drawn, or the directions in which prompts of an expert lie."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

DEGENERATE = 5.0
"""Condition number above which rows of a layer lie too near each other to tell experts apart."""


def from_states(states: Tensor, negative: Tensor | None = None) -> Tensor:
    """Rows of length 1 in the direction of what prompts gave, less that of negative prompts.

    Shape: (layers, experts, width) -> (layers, experts, width)

    Example:
        >>> from_states(torch.tensor([[[3.0, 4.0]]]))
        tensor([[[0.6000, 0.8000]]])
    """
    found = states.double() if negative is None else states.double() - negative.double()
    rows: Tensor = found / found.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    return rows.float()


def drawn(shape: tuple[int, int, int], seed: int, *, uniform: bool = False) -> Tensor:
    """Normal draws, or uniform ones within 1/sqrt(width) of 0.

    Shape: (layers, experts, width)

    Example:
        >>> bool(drawn((1, 2, 4), 0, uniform=True).abs().max() <= 0.5)
        True
    """
    draw = torch.Generator().manual_seed(seed)
    if not uniform:
        return torch.randn(shape, generator=draw)
    return (2 * torch.rand(shape, generator=draw) - 1) / math.sqrt(shape[-1])


def embedded(table: Tensor, prompts: Sequence[Sequence[int]]) -> Tensor:
    """Sum of the embeddings of all tokens of all prompts.

    Shape: (vocabulary, width) -> (width,)

    Example:
        >>> embedded(torch.eye(3), [[0, 1], [1]])
        tensor([1., 2., 0.])
    """
    ids = torch.tensor([token for prompt in prompts for token in prompt], dtype=torch.int64)
    return table.float().index_select(0, ids).sum(0)


def degenerate(rows: Tensor) -> list[int]:
    """Layers whose rows hardly differ in direction.

    Example:
        >>> degenerate(torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]]))
        [1]
    """
    conditions = [torch.linalg.cond(layer.double()) for layer in rows]
    return [layer for layer, condition in enumerate(conditions) if not float(condition) <= DEGENERATE]
