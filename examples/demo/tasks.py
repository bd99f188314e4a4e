"""Four tasks on the 8 x 8 digits that ship inside scikit-learn, and one split of the source images for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import Tensor

HELD_OUT = 600
"""Source images that no training ever sees, under any task."""


@dataclass(frozen=True, slots=True)
class Task:
    """A view of the images, a rule for the labels, and the slice of the shared classifier that answers.

    Shape: `view` maps (n, 1, 8, 8) to (n, 1, 8, 8); `label` maps the digits (n,) to classes (n,) from 0.
    """

    name: str
    first: int
    classes: int
    view: Callable[[Tensor], Tensor]
    label: Callable[[Tensor], Tensor]

    @property
    def logits(self) -> slice:
        """The part of the classifier's output that belongs to this task."""
        return slice(self.first, self.first + self.classes)


TASKS = (
    Task("digits", 0, 10, lambda x: x, lambda y: y),
    Task("rotated", 10, 10, lambda x: x.rot90(1, (2, 3)), lambda y: y),
    Task("inverted", 20, 10, lambda x: 1 - x, lambda y: y),
    Task("parity", 30, 2, lambda x: x, lambda y: y % 2),
)
LOGITS = sum(task.classes for task in TASKS)


def images(*, held_out: bool) -> tuple[Tensor, Tensor]:
    """One side of the split: images (n, 1, 8, 8) in [0, 1], and the digits they show (n,)."""
    data = load_digits()
    pixels = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    digits = torch.tensor(data.target, dtype=torch.int64)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    chosen = order[:HELD_OUT] if held_out else order[HELD_OUT:]
    return pixels[chosen], digits[chosen]


def batch(task: Task, size: int, generator: torch.Generator, source: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A training batch: random images, each moved by up to one pixel, seen and labelled as the task does."""
    pixels, digits = source
    rows = torch.randint(len(digits), (size,), generator=generator)
    step = torch.randint(-1, 2, (2,), generator=generator).tolist()
    return task.view(pixels[rows].roll(step, (2, 3))), task.label(digits[rows])
