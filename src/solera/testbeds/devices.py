"""Where a testbed's models are trained: one choice for all of them."""

from __future__ import annotations


def device(*, gpu: bool) -> str:
    """The device of a training.

    Args:
        gpu: whether the schedule asks for a GPU (those of size `full` do); it is taken where there is one. Results then
            differ between machines.

    Example:
        >>> device(gpu=False)
        'cpu'
    """
    import torch

    return "cuda" if gpu and torch.cuda.is_available() else "cpu"
