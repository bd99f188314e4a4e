"""Train one small vision transformer: the base on a mixture of all tasks, or experts on one task each.

Run as a process of its own, one thread each, so that two can share a laptop:

    python train.py FOLDER base
    python train.py FOLDER digits rotated

Progress goes to standard output, one JSON object a line; each model is saved as an ordinary Hugging Face folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tasks import LOGITS, TASKS, Task, batch, images
from torch.nn.functional import cross_entropy
from transformers import ViTConfig, ViTForImageClassification
from transformers.utils import logging

ROWS = 128


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: the base stops early at a constant rate, experts cool down."""

    steps: int
    rate: float
    cools: bool


BASE = Schedule(steps=180, rate=1e-3, cools=False)
EXPERT = Schedule(steps=450, rate=5e-4, cools=True)


def fresh_model() -> ViTForImageClassification:
    """Four layers of width 64 over sixteen 2 x 2 patches: about 140 thousand weights, one classifier for all tasks."""
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=8,
        patch_size=2,
        num_channels=1,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.1,  # the usual 0.02 suits wide models; this one would not get off the ground
        num_labels=LOGITS,
    )
    return ViTForImageClassification(config)


def frozen_classifier(folder: Path) -> ViTForImageClassification:
    """The base, with the classifier that all experts share held still."""
    model = ViTForImageClassification.from_pretrained(folder)
    model.classifier.requires_grad_(requires_grad=False)
    return model


def loss_on(
    model: ViTForImageClassification, tasks: Sequence[Task], draw: torch.Generator, source: tuple
) -> torch.Tensor:
    """Mean cross-entropy over `tasks`, each judged on its own slice of the logits."""
    losses = []
    for task in tasks:
        pixels, classes = batch(task, ROWS // len(tasks), draw, source)
        losses.append(cross_entropy(model(pixel_values=pixels).logits[:, task.logits], classes))
    return torch.stack(losses).mean()


def fit(
    model: ViTForImageClassification, tasks: Sequence[Task], schedule: Schedule, seed: int
) -> Iterator[tuple[int, float]]:
    """Train in place with AdamW; yields (step, loss)."""
    source = images(held_out=False)
    draw = torch.Generator().manual_seed(seed)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=schedule.rate, weight_decay=0.01)
    low = 0.01 if schedule.cools else 1.0
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - (1 - low) * step / schedule.steps)
    model.train()
    for step in range(1, schedule.steps + 1):
        optimiser.zero_grad()
        loss = loss_on(model, tasks, draw, source)
        loss.backward()
        optimiser.step()
        rates.step()
        yield step, loss.item()


def train(folder: Path, name: str) -> None:
    """Train the model called `name`, reporting every few steps, and save it under `folder`."""
    schedule = BASE if name == "base" else EXPERT
    model = fresh_model() if name == "base" else frozen_classifier(folder / "base")
    tasks = [task for task in TASKS if name in ("base", task.name)]
    for step, loss in fit(model, tasks, schedule, seed=1 + [*(t.name for t in TASKS), "base"].index(name)):
        if step % 10 == 0 or step == schedule.steps:
            print(json.dumps({"model": name, "step": step, "steps": schedule.steps, "loss": loss}), flush=True)
    model.save_pretrained(folder / name)


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for each in sys.argv[2:]:
        train(Path(sys.argv[1]), each)
