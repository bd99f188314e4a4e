"""Slots of equal experts in a live model, held once: the router stays as it was, memory is that of what differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from solera.errors import PlanError

_WEIGHTS = ("gate_up_proj", "down_proj")


def share_experts(model: nn.Module) -> int:
    """Hold equal experts of every layer once, in place; returns the bytes that were freed.

    What the papers on merging evaluate: all rows of the router stay, and the members of a group are one expert, whose
    gate is the sum of theirs. A model written with ``--router every`` has equal experts in its slots. Logits are those
    of the model before, up to the order of sums. The model can no longer be saved as it is.

    Raises:
        PlanError: the model's experts are not held as transformers 5 holds them.

    Example:
        >>> share_experts(nn.Linear(2, 2))
        Traceback (most recent call last):
        ...
        solera.errors.PlanError: PlanError: The model holds no fused experts.
          where: Linear
          want:  modules with gate_up_proj and down_proj, as transformers 5 has
    """
    found = list(fused_modules(model))
    if not found:
        want = "modules with gate_up_proj and down_proj, as transformers 5 has"
        raise PlanError("The model holds no fused experts.", where=type(model).__name__, want=want)
    return sum(_share(module) for _, module in found)


def fused_modules(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Name and module of every layer's experts."""
    for name, module in model.named_modules():
        if all(isinstance(getattr(module, weight, None), nn.Parameter) for weight in _WEIGHTS):
            yield name, module


def _share(module: Any) -> int:
    """One layer's experts; the indices that the router gives are translated on their way in."""
    firsts = _firsts([getattr(module, weight) for weight in _WEIGHTS])
    kept = sorted(set(firsts))
    if len(kept) == len(firsts):
        return 0
    places = torch.tensor([kept.index(first) for first in firsts], device=module.gate_up_proj.device)
    freed = 0
    for weight in _WEIGHTS:
        old = getattr(module, weight)
        freed += (len(firsts) - len(kept)) * old[0].numel() * old.element_size()
        setattr(module, weight, nn.Parameter(old.detach()[kept].clone(), requires_grad=False))
    module.num_experts = len(kept)
    module.register_buffer("expert_map", places, persistent=False)
    module.register_forward_pre_hook(_translated)
    return freed


def _firsts(weights: list[Tensor]) -> list[int]:
    """For every expert the first one that equals it."""
    found: list[int] = []
    for expert in range(len(weights[0])):
        same = (first for first in sorted(set(found)) if all(torch.equal(w[first], w[expert]) for w in weights))
        found.append(next(same, expert))
    return found


def _translated(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    hidden, index, *rest = args
    return (hidden, module.expert_map[index], *rest)
