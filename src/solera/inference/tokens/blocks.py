"""Where a vision model of transformers keeps its blocks, and what stands where inside one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from solera.errors import PlanError


@dataclass(frozen=True, slots=True)
class Parts:
    """Names inside a block that begins with a norm: norm, attention, norm, MLP, each half added to what entered it.

    `keys`: the projection in the attention whose output tokens are compared by. `dropout`: after either half, or "".
    `special`: tokens in front that never merge. `vision`: blocks of this class also stand in text towers.
    """

    first_norm: str
    attention: str
    second_norm: str
    dropout: str
    special: int
    vision: bool = False
    keys: str = "k_proj"
    mlp: str = "mlp"


KNOWN: Mapping[str, Parts] = MappingProxyType(
    {
        "ViTLayer": Parts("layernorm_before", "attention", "layernorm_after", "dropout", 1),
        "DeiTLayer": Parts("layernorm_before", "attention", "layernorm_after", "dropout", 2),
        "CLIPEncoderLayer": Parts("layer_norm1", "self_attn", "layer_norm2", "", 1, vision=True),
    }
)
"""Class of a block -> what stands where. Only models that read their answer off a special token."""
_MODELS = frozenset({"vit", "deit", "clip", "clip_vision_model"})
_OF_ALL_TOKENS = ("ForMaskedImageModeling", "CLIPForImageClassification")
"""Ends of the names of classes whose answer depends on how many tokens there are."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One block, taken apart."""

    module: Any
    parts: Parts

    def part(self, name: str) -> Any:
        """One of its modules, by the name of the field in `Parts`."""
        return getattr(self.module, getattr(self.parts, name))

    @property
    def key_projection(self) -> Any:
        """What gives the attention's keys."""
        return getattr(self.part("attention"), self.parts.keys)

    @property
    def head_size(self) -> int:
        """Channels of one attention head."""
        return int(self.part("attention").head_dim)


def blocks_of(model: nn.Module) -> tuple[Block, ...]:
    """The blocks in which tokens can be merged, in their order.

    Raises:
        PlanError: the model has none of a known kind, pools over all tokens at its end, or hands them to another
            model (give its vision tower instead).
    """
    stacks = [stack for module in model.modules() if isinstance(module, nn.ModuleList) and (stack := _stack(module))]
    if len(stacks) != 1 or _needs_all_tokens(model):
        raise PlanError(
            "Tokens of this model cannot be merged.",
            got=type(model).__name__,
            want="a vision model that answers by its class token, of blocks " + ", ".join(KNOWN),
        )
    return stacks[0]


def _needs_all_tokens(model: nn.Module) -> bool:
    kind = getattr(getattr(model, "config", None), "model_type", None)
    return type(model).__name__.endswith(_OF_ALL_TOKENS) or (kind is not None and kind not in _MODELS)


def _stack(modules: nn.ModuleList) -> tuple[Block, ...]:
    """The entries of a list as blocks; nothing unless all are."""
    found = []
    for module in modules:
        parts = KNOWN.get(type(module).__name__)
        if parts is None or (parts.vision and "Vision" not in type(getattr(module, parts.attention).config).__name__):
            return ()
        found.append(Block(module, parts))
    return tuple(found)
