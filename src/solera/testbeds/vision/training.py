"""Training: the base on a mixture of all tasks, experts and adapters on one each, and ceilings from scratch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from solera.testbeds.devices import device
from solera.testbeds.vision import images, network
from solera.testbeds.vision.scoring import accuracy
from solera.testbeds.vision.views import VIEWS, View, as_input, as_tensor, shifted

Tell = Callable[[int, int], None]
_EVERY = 10
"""Steps between two words on progress."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast. The rate rises over the first tenth, then falls along a cosine to `last` of `rate`.

    With `gpu`, training is on a GPU where there is one; results then differ between machines.
    """

    steps: int
    rate: float
    rows: int = 128
    last: float = 0.02
    shift: int = 1
    decay: float = 0.01
    gpu: bool = False

    def share(self, step: int) -> float:
        """Part of `rate` at a step.

        Example:
            >>> schedule = Schedule(100, 1e-3, last=0.5)
            >>> schedule.share(0), schedule.share(10), round(schedule.share(100), 6)
            (0.1, 1.0, 0.5)
        """
        warm = max(1, self.steps // 10)
        if step < warm:
            return (step + 1) / warm
        fall = (step - warm) / max(1, self.steps - warm)
        return self.last + (1 - self.last) * (1 + math.cos(math.pi * fall)) / 2


def fit(model: Any, views: Sequence[View], source: images.Images, schedule: Schedule, seed: int, tell: Tell) -> None:
    """Train in place with AdamW on batches shared evenly by `views`; all draws come from `seed`.

    Batches are drawn and shown on the CPU, whatever device the model is on meanwhile; it is left on the CPU.
    """
    draw = torch.Generator().manual_seed(seed)
    pixels, classes = as_tensor(source.pixels), torch.as_tensor(source.classes)
    model.to(device(gpu=schedule.gpu))
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=schedule.rate, weight_decay=schedule.decay)
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, schedule.share)
    model.train()
    for step in range(schedule.steps):
        optimiser.zero_grad()
        torch.autograd.backward(_loss(model, views, pixels, classes, schedule, draw))
        optimiser.step()
        rates.step()
        if step % _EVERY == 0 or step + 1 == schedule.steps:
            tell(step + 1, schedule.steps)
    model.to("cpu").eval()


def _loss(
    model: Any, views: Sequence[View], pixels: Tensor, classes: Tensor, schedule: Schedule, draw: torch.Generator
) -> Tensor:
    """Mean cross-entropy over the views, each on its own slice of the logits; one forward for all of them."""
    rows = torch.randint(len(classes), (schedule.rows,), generator=draw)
    batch = shifted(pixels[rows], schedule.shift, draw).tensor_split(len(views))
    answers = classes[rows].tensor_split(len(views))
    shown = torch.cat([view.show(part) for view, part in zip(views, batch, strict=True)])
    where = next(model.parameters()).device
    logits = model(pixel_values=as_input(shown).to(where)).logits.split([len(part) for part in batch])
    each = [
        cross_entropy(part[:, view.logits], view.label(right).to(where))
        for view, part, right in zip(views, logits, answers, strict=True)
    ]
    return torch.stack(each).mean()


def train_base(
    out: Path, tell: Tell, *, folder: Path, shape: Mapping[str, int], schedule: Mapping[str, Any], count: int, seed: int
) -> dict[str, Any]:
    """The base: all tasks, unseen ones too, on the first `count` images; this trains the classifier for everybody."""
    model = network.fresh(network.Shape(**shape), seed)
    source = images.read(folder, "train")
    fit(model, VIEWS, source.at(np.arange(len(source))[:count]), Schedule(**schedule), seed, tell)
    network.save(model, out)
    return {view.name: accuracy(model, view, images.read(folder, "test")) for view in VIEWS}


def train_expert(
    out: Path, tell: Tell, *, folder: Path, task: str, schedule: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """One expert: every weight of the base but the classifier."""
    model = network.load(folder / "base")
    model.classifier.requires_grad_(requires_grad=False)
    view = named(task)
    fit(model, [view], images.read(folder, "train"), Schedule(**schedule), _own(seed, view), tell)
    network.save(model, out)
    return {"accuracy": accuracy(model, view, images.read(folder, "test"))}


def train_adapter(
    out: Path, tell: Tell, *, folder: Path, task: str, rank: int, schedule: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """One LoRA expert on all linear layers, as a PEFT folder."""
    from peft import LoraConfig, get_peft_model

    view = named(task)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, lora_dropout=0.0)
    with torch.random.fork_rng(devices=[]), network.quiet():
        torch.manual_seed(_own(seed, view))
        model = get_peft_model(network.load(folder / "base"), config)
    fit(model, [view], images.read(folder, "train"), Schedule(**schedule), _own(seed, view), tell)
    model.save_pretrained(str(out))
    _tidy(out)
    return {"accuracy": accuracy(model, view, images.read(folder, "test"))}


def _tidy(adapter: Path) -> None:
    """Name the base relative to the adapter, sort what peft keeps as a set, and drop the empty card."""
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text("utf-8"))
    config |= {"base_model_name_or_path": "../../base", "target_modules": sorted(config["target_modules"])}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    (adapter / "README.md").unlink(missing_ok=True)


def train_ceiling(
    _out: Path,
    tell: Tell,
    *,
    folder: Path,
    task: str,
    shape: Mapping[str, int],
    schedule: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """What a fresh network of the same shape reaches on one task; its weights are not kept."""
    view = named(task)
    model = network.fresh(network.Shape(**shape), _own(seed, view))
    fit(model, [view], images.read(folder, "train"), Schedule(**schedule), _own(seed, view), tell)
    return {"accuracy": accuracy(model, view, images.read(folder, "test"))}


def named(task: str) -> View:
    """The view called `task`."""
    return next(view for view in VIEWS if view.name == task)


def _own(seed: int, view: View) -> int:
    """A seed of its own for each task."""
    return 1000 * (seed + 1) + VIEWS.index(view)


def plain(schedule: Schedule) -> dict[str, Any]:
    """A schedule as plain data, for other processes."""
    return asdict(schedule)
