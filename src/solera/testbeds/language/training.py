"""One training loop for every model of this room: AdamW, warm-up, then a constant or a falling rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from solera.testbeds.devices import device
from solera.testbeds.language.batches import IGNORED, Batch


@dataclass(frozen=True, slots=True)
class Training:
    """How long and how fast.

    Attributes:
        rate: highest learning rate. warmup: steps up to it. fall: what follows. batch: examples a step.
        gpu: train on a GPU where there is one; results then differ between machines.
        hold: share of the steps after the warm-up at the highest rate, before a linear fall to zero.
    """

    steps: int
    rate: float
    batch: int = 64
    warmup: int = 20
    fall: Literal["linear", "none"] = "linear"
    hold: float = 0.0
    decay: float = 0.01
    gpu: bool = False


def rate_at(step: int, plan: Training) -> float:
    """Learning rate of a step, counted from 0.

    Example:
        >>> plan = Training(steps=10, rate=1.0, warmup=2)
        >>> [rate_at(i, plan) for i in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 1.0, 0.5, 0.125]
    """
    if step < plan.warmup:
        return plan.rate * (step + 1) / plan.warmup
    if plan.fall == "none":
        return plan.rate
    start = plan.warmup + plan.hold * (plan.steps - plan.warmup)
    return plan.rate * min(1.0, (plan.steps - step) / max(1.0, plan.steps - start))


def sequence_loss(logits: Any, labels: Any) -> Any:
    """Mean over sequences of the mean cross-entropy of their labelled tokens; (B, T, V) and (B, T) -> scalar."""
    import torch

    target = labels[:, 1:]
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), target, ignore_index=IGNORED, reduction="none"
    )
    return (loss.sum(1) / (target != IGNORED).sum(1)).mean()


def _loss(model: Any, batch: Batch) -> Any:
    """Loss of a batch; routers add the term that spreads tokens over their experts."""
    out = model(input_ids=batch.ids.to(model.device), use_cache=False)
    loss = sequence_loss(out.logits, batch.labels.to(model.device))
    routed = getattr(out, "aux_loss", None)
    return loss if routed is None else loss + model.config.router_aux_loss_coef * routed


def train(
    model: Any,
    batches: Callable[[int], Sequence[Batch]],
    plan: Training,
    after: Callable[[int, float], None] | None = None,
) -> float:
    """Train in place; gives the loss of the last step.

    Args:
        model: causal language model of transformers.
        batches: step -> the batches whose gradients are added up.
        plan: length and rate.
        after: called with (step, loss) after each step, for progress and checkpoints.
    """
    import torch

    model.to(device(gpu=plan.gpu))
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=plan.decay)
    model.train()
    total = 0.0
    for step in range(plan.steps):
        optimizer.param_groups[0]["lr"] = rate_at(step, plan)
        parts = batches(step)
        rows = sum(len(part.ids) for part in parts)
        total = 0.0
        for part in parts:
            loss = _loss(model, part) * len(part.ids) / rows
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if after:
            after(step, total)
    model.to("cpu").eval()
    return total
