"""Training a router on examples whose tasks are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from solera.errors import BadParameter
from solera.inference.routed.routing import Router

MOST_HIDDEN = 1024


@dataclass(frozen=True, slots=True)
class Lessons:
    """How a router is trained: AdamW on all examples at once.

    `hidden`: channels of the hidden layer; None is twice the features' width, at most 1024.
    `held_out`: share of each task's examples that accuracy is measured on, and that are not trained on.
    """

    steps: int = 300
    rate: float = 3e-3
    decay: float = 1e-2
    hidden: int | None = None
    held_out: float = 0.2
    seed: int = 0


def train_router(features: Sequence[Tensor], lessons: Lessons | None = None) -> tuple[Router, float]:
    """A router that tells tasks apart by their features, and the share of held-out examples that it sends right.

    Args:
        features: one (examples, width) for each task, in order.
        lessons: how.

    Raises:
        BadParameter: fewer than two examples of a task.

    Cost: `steps` passes over the features; seconds on a processor. The result depends on the seed alone.

    Example:
        >>> near, far = torch.zeros(10, 2), torch.ones(10, 2)
        >>> router, accuracy = train_router([near, far])
        >>> accuracy, router.weights(far).argmax(-1).tolist() == [1] * 10
        (1.0, True)
    """
    lessons = lessons or Lessons()
    for task, rows in enumerate(features):
        if len(rows) < 2:
            raise BadParameter("A task has too few examples.", where=f"task {task}", got=len(rows), want="2 or more")
    held = [max(1, round(len(rows) * lessons.held_out)) for rows in features]
    train = [rows[: len(rows) - n].float() for rows, n in zip(features, held, strict=True)]
    test = [rows[len(rows) - n :].float() for rows, n in zip(features, held, strict=True)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(lessons.seed)
        width = features[0].shape[1]
        router = Router(width, lessons.hidden or min(MOST_HIDDEN, 2 * width), len(features))
    _fit(router, torch.cat(train), _labels(train), lessons)
    with torch.no_grad():
        right = router(torch.cat(test)).argmax(-1) == _labels(test)
    return router, float(right.float().mean())


def _labels(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([torch.full((len(rows),), task) for task, rows in enumerate(parts)])


def _fit(router: Router, rows: Tensor, labels: Tensor, lessons: Lessons) -> None:
    assert isinstance(router.mean, Tensor)
    assert isinstance(router.scale, Tensor)
    router.mean.copy_(rows.mean(0))
    spread = rows.std(0, correction=0)
    router.scale.copy_(torch.where(spread > 1e-6, spread, 1.0))  # what never varied must not outvote the rest
    shares = 1 / torch.bincount(labels).float()
    optimizer = torch.optim.AdamW(router.parameters(), lr=lessons.rate, weight_decay=lessons.decay)
    with torch.enable_grad():
        for _ in range(lessons.steps):
            optimizer.zero_grad()
            torch.autograd.backward(cross_entropy(router(rows), labels, weight=shares))
            optimizer.step()
    router.requires_grad_(requires_grad=False).eval()
