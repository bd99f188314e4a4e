"""What both sides of the parity of learnt coefficients start from: a tiny body, heads, experts and images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

TASKS = ("SUN397", "Cars", "RESISC45", "EuroSAT", "SVHN", "GTSRB", "MNIST", "DTD")
STEPS = 20
ROWS, SIDE, INNER, FEATURES, CLASSES = 32, 6, 9, 5, 4
"""All images of a task are seen at every step, so that their order does not matter."""
SIZES = {"one.weight": (INNER, SIDE), "one.bias": (INNER,), "two.weight": (FEATURES, INNER), "two.bias": (FEATURES,)}


class Body(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(SIDE, INNER), nn.Linear(INNER, FEATURES)

    def forward(self, images: Tensor) -> Tensor:
        """Features of images."""
        return self.two(torch.tanh(self.one(images)))


def _drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def base() -> dict[str, Tensor]:
    """The body's weights."""
    return {name: _drawn(i, *shape) * 0.4 for i, (name, shape) in enumerate(SIZES.items())}


def expert(task: int) -> dict[str, Tensor]:
    """The body's weights after fine-tuning."""
    moves = (_drawn(100 * (task + 1) + i, *shape) * 0.3 for i, shape in enumerate(SIZES.values()))
    return {name: value + move for (name, value), move in zip(base().items(), moves, strict=True)}


def head(task: int) -> Tensor:
    """The classifier of a task, (classes, features)."""
    return _drawn(5000 + task, CLASSES, FEATURES)


def images(task: int) -> Tensor:
    """The unlabelled images of a task."""
    return _drawn(7000 + task, ROWS, SIDE)
