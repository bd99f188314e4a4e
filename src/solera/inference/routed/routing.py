"""The router: features of an input from the start's hidden states, and a small network that tells tasks apart.

Source: "Twin-Merging: Dynamic Integration of Modular Expertise in Model Merging" (arXiv:2406.15479), official code
LZY-the-boys/Twin-Merging, router.py.

Differs: one hidden layer behind standardised features; the official router has two of 1024 channels with batch norm
    and dropout. Batch norm would let other inputs of a batch change a route.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from solera.errors import BadParameter, CheckpointError

LAST = -1
"""The layer whose hidden states are features, unless another is asked for."""
_NOT_FEATURES = frozenset({"labels", "past_key_values", "use_cache", "logits_to_keep", "output_attentions"})


class Router(nn.Module):
    """Features (batch, width) -> logits (batch, tasks), in float32."""

    def __init__(self, width: int, hidden: int, tasks: int) -> None:
        """Make an untrained router of these sizes."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.first, self.last = nn.Linear(width, hidden), nn.Linear(hidden, tasks)

    def forward(self, features: Tensor) -> Tensor:
        """Score every task for every input."""
        assert isinstance(self.mean, Tensor)
        assert isinstance(self.scale, Tensor)
        found: Tensor = self.last(nn.functional.gelu(self.first((features.float() - self.mean) / self.scale)))
        return found

    def weights(self, features: Tensor) -> Tensor:
        """Weights of the tasks for every input; each row sums to 1."""
        found: Tensor = self(features).softmax(-1)
        return found


def features_of(inner: nn.Module, inputs: Mapping[str, Any], layer: int = LAST) -> Tensor:
    """Mean over the tokens that are no padding of a layer's hidden states.

    Shape: inputs (batch, ...) -> (batch, width), float32

    Raises:
        CheckpointError: the architecture has no such hidden states. BadParameter: it has no such layer.
    """
    body = _body(inner)
    known = inspect.signature(body.forward).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    given = {k: v for k, v in inputs.items() if k not in _NOT_FEATURES and (k in known or open_ended)}
    mask = given.get("attention_mask")
    if mask is not None and "position_ids" in known and "position_ids" not in given and _generates(inner):
        given["position_ids"] = (mask.long().cumsum(-1) - 1).clamp(min=0)
    if "use_cache" in known:
        given["use_cache"] = False
    with torch.no_grad():
        out = body(**given, output_hidden_states=layer != LAST, return_dict=True)
    hidden = getattr(out, "last_hidden_state", None) if layer == LAST else _of_layer(out, layer)
    if not isinstance(hidden, Tensor) or hidden.dim() not in (3, 4):
        raise _unsupported(inner)
    return _mean(hidden.float(), mask)


def _body(inner: nn.Module) -> nn.Module:
    """The part of a model below its head."""
    body = getattr(inner, "base_model", None)
    config = getattr(inner, "config", None)
    if not isinstance(body, nn.Module) or getattr(config, "is_encoder_decoder", False):
        raise _unsupported(inner)
    return body


def _unsupported(inner: nn.Module) -> CheckpointError:
    return CheckpointError(
        "This architecture is not supported by routers.",
        where=type(inner).__name__,
        want="hidden states of tokens or patches, from a model without a decoder of its own",
        fix="leave the router out, and give the task with every call",
    )


def _generates(inner: nn.Module) -> bool:
    can = getattr(inner, "can_generate", None)
    return bool(can and can())


def _of_layer(out: Any, layer: int) -> Tensor | None:
    states: Sequence[Tensor] = getattr(out, "hidden_states", None) or ()
    if states and not -len(states) <= layer < len(states):
        want = f"0 (what enters the first layer) to {len(states) - 1}, or -1, the last"
        raise BadParameter("The model has no such layer.", got=layer, want=want)
    return states[layer] if states else None


def _mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """(batch, tokens, width) or (batch, width, height, breadth) -> (batch, width)."""
    if hidden.dim() == 4:
        return hidden.flatten(2).mean(-1)
    if mask is None or mask.shape != hidden.shape[:2]:
        return hidden.mean(1)
    counted = mask.to(hidden).unsqueeze(-1)
    return (hidden * counted).sum(1) / counted.sum(1).clamp(min=1)
