"""Load model folders with transformers and score them on held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from tasks import TASKS, Task, images
from transformers import AutoModelForImageClassification, PreTrainedModel


def load(folder: Path) -> PreTrainedModel:
    """The model as any user would load it; every tensor must come from the file."""
    model, info = AutoModelForImageClassification.from_pretrained(folder, output_loading_info=True)
    odd = {kind: names for kind, names in info.items() if names}
    if odd:
        message = f"{folder} does not fit its own config: {odd}"
        raise SystemExit(message)
    return model.eval()


@torch.no_grad()
def answers(model: PreTrainedModel, task: Task, pixels: torch.Tensor) -> torch.Tensor:
    """The class that the model gives each plain image, seen through the task's view: (n, 1, 8, 8) to (n,)."""
    return model(pixel_values=task.view(pixels)).logits[:, task.logits].argmax(-1)


def score(folder: Path) -> Mapping[str, float]:
    """Accuracy in percent on each task, and their mean."""
    model = load(folder)
    pixels, digits = images(held_out=True)
    right = {t.name: (answers(model, t, pixels) == t.label(digits)).float().mean().item() * 100 for t in TASKS}
    return {**right, "mean": sum(right.values()) / len(right)}
