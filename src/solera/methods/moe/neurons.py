"""The order of an expert's neurons in which it lies nearest to another: the same function, ready to be averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from solera.errors import MissingExtra

Matrices = Sequence[Tensor]
"""Gate (inner, width), up (inner, width), down (width, inner)."""


def neuron_order(reference: Matrices, other: Matrices) -> Tensor:
    """For every neuron of the reference the neuron of `other` that takes its place.

    The assignment that maximises the inner product of both experts, gate, up and down together: the least sum of
    squared distances. Where nothing is gained by a change, every neuron stays.

    Shape: three matrices of inner size f -> (f,) int64

    Cost: O(f^2 * width) for inner products, O(f^3) for the assignment; f * f float32 of memory.

    Raises:
        MissingExtra: scipy is not installed.

    Example:
        >>> draw = torch.Generator().manual_seed(0)
        >>> gate, up, down = (torch.randn(*s, generator=draw) for s in ((3, 5), (3, 5), (5, 3)))
        >>> turned = [torch.tensor([2, 0, 1])]
        >>> neuron_order((gate, up, down), (gate[turned[0]], up[turned[0]], down[:, turned[0]]))
        tensor([1, 2, 0])
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise MissingExtra("moe", needed_for="Putting neurons of experts in order") from None
    gain = _products(reference, other)
    _, columns = linear_sum_assignment(gain.numpy(), maximize=True)
    order = torch.from_numpy(columns).to(torch.int64)
    here = torch.arange(len(order))
    better = float(gain[here, order].double().sum()) > float(gain.diagonal().double().sum())
    return order if better else here


def _products(reference: Matrices, other: Matrices) -> Tensor:
    """Inner products of every neuron of one with every neuron of the other, (f, f)."""
    total = reference[0].float() @ other[0].float().T
    total += reference[1].float() @ other[1].float().T
    total += reference[2].float().T @ other[2].float()
    return total


def is_moved(order: Tensor) -> bool:
    """Whether an order moves anything.

    Example:
        >>> is_moved(torch.tensor([0, 1])), is_moved(torch.tensor([1, 0]))
        (False, True)
    """
    return not torch.equal(order, torch.arange(len(order)))
