"""The tasks as they are scored: right or wrong per image, and the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from solera.checkpoints.identity import hasher
from solera.evaluate.contract import Group, Measured, Split, Task
from solera.testbeds.vision import images
from solera.testbeds.vision.views import CORRUPTIONS, VIEWS, View, as_input, as_tensor

_ROWS = 512
"""Images in one forward pass."""


def tasks(folder: Path, split: Split) -> tuple[Task, ...]:
    """All tasks of one split: held-in, unseen, then the held-in ones on damaged images.

    Args:
        folder: of the built testbed.
        split: ``validation`` or ``test``.
    """
    source = images.read(folder, split)
    whole, classes = as_tensor(source.pixels), torch.as_tensor(source.classes)
    clean = [_task(view, view.name, whole, classes, split) for view in VIEWS]
    damaged = {name: damage(whole) for name, damage in CORRUPTIONS.items()}
    spoilt = [
        _task(view, f"{view.name}/{name}", pixels, classes, split, "corrupted")
        for name, pixels in damaged.items()
        for view in VIEWS
        if view.held_in
    ]
    return (*clean, *spoilt)


def _task(view: View, name: str, whole: Tensor, classes: Tensor, split: Split, group: Group | None = None) -> Task:
    inputs, answers = as_input(view.show(whole)).contiguous(), view.label(classes)
    return Task(
        name=name,
        data=_digest(view, inputs, answers),
        items=len(answers),
        metric="accuracy",
        measure=partial(measure, inputs=inputs, answers=answers, logits=view.logits),
        part=partial(_part, inputs, answers, view.logits),
        split=split,
        group=group or ("held-in" if view.held_in else "unseen"),
        expert=view.name if view.held_in else None,
    )


def _part(inputs: Tensor, answers: Tensor, logits: slice, places: Sequence[int]) -> Callable[[Any], Measured]:
    kept = torch.as_tensor(places)
    return partial(measure, inputs=inputs[kept], answers=answers[kept], logits=logits)


def _digest(view: View, inputs: Tensor, answers: Tensor) -> str:
    digest = hasher().update(f"{view.first} {view.answers} {tuple(inputs.shape)}\n".encode())
    return str(digest.update(inputs.numpy().tobytes()).update(answers.numpy().tobytes()).hexdigest())


@torch.no_grad()
def measure(model: Any, *, inputs: Tensor, answers: Tensor, logits: slice) -> Measured:
    """Per image: ``accuracy`` (1 or 0) and ``loss`` (cross-entropy in nats over the task's own answers).

    Shape: inputs (n, 1, side, side), answers (n,).
    """
    weight = next(model.parameters())
    found = torch.cat([model(pixel_values=part.to(weight)).logits[:, logits] for part in torch.split(inputs, _ROWS)])
    found = found.float().cpu()
    return {
        "accuracy": (found.argmax(-1) == answers).float().tolist(),
        "loss": cross_entropy(found, answers, reduction="none").tolist(),
    }


def accuracy(model: Any, view: View, source: images.Images) -> float:
    """Accuracy in percent of a model on a view of some images."""
    inputs = as_input(view.show(as_tensor(source.pixels)))
    right = measure(model, inputs=inputs, answers=view.label(torch.as_tensor(source.classes)), logits=view.logits)
    return 100 * sum(right["accuracy"]) / len(source)
