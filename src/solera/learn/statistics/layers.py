"""What every layer gives for each example: the mean over its tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from solera.learn.statistics.contract import Batch
from solera.learn.statistics.sites import Anatomy

KIND = "layer_output"
MAIN = ("", "text", "decoder")
"""Stacks that are looked at, the likeliest first."""


def layer_modules(model: nn.Module, anatomy: Anatomy) -> dict[str, str]:
    """Live module of each layer of the main stack -> the layer's canonical name, in order.

    Example:
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> from solera.learn.statistics.sites import anatomy_of
        >>> sizes = dict(hidden_size=8, intermediate_size=8, num_attention_heads=2, num_key_value_heads=2, vocab_size=8)
        >>> model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=2, **sizes))
        >>> layer_modules(model, anatomy_of(model))
        {'model.layers.0': 'model.layers.0', 'model.layers.1': 'model.layers.1'}
    """
    rules = {rule.name: rule for rule in anatomy.architecture.plan.stacks}
    name = next((name for name in MAIN if name in rules), next(iter(rules), None))
    found: dict[int, tuple[str, str]] = {}
    modules = dict(model.named_modules())
    for live, leaves in anatomy.leaves.items():
        for leaf in leaves:
            if name is None or leaf.layer is None or leaf.stack != name or leaf.layer in found:
                continue
            prefix = rules[name].prefix.replace("{layer}", str(leaf.layer))
            inside = leaf.name.removeprefix(prefix)
            if leaf.name.startswith(f"{prefix}.") and live.endswith(inside) and live.removesuffix(inside) in modules:
                found[leaf.layer] = live.removesuffix(inside), prefix
    return dict(found[layer] for layer in sorted(found))


@dataclass(eq=False)
class LayerOutputs:
    """Means over tokens, example by example, while its hooks are on a model.

    `modules`: live module -> name of the layer. `batch` is what the model is being run on.
    """

    modules: Mapping[str, str]
    batch: Batch | None = None
    rows: dict[str, list[Tensor]] = field(default_factory=dict)

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Hooks on every layer; they are removed at the end, whatever happens."""
        with ExitStack() as hooks:
            for module, name in self.modules.items():
                handle = model.get_submodule(module).register_forward_hook(self._hook(name))
                hooks.callback(handle.remove)
            yield

    def _hook(self, name: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            given = output[0] if isinstance(output, tuple) else output
            self.rows.setdefault(name, []).append(pooled(given.detach(), self.batch))

        return hook

    def found(self) -> dict[str, Tensor]:
        """(examples, channels) by layer, in float32."""
        return {name: torch.cat(rows) for name, rows in self.rows.items()}


def pooled(given: Tensor, batch: Batch | None) -> Tensor:
    """Mean over tokens that are no padding.

    Shape: (batch, tokens, channels) -> (batch, channels), in float32

    Example:
        >>> mask = torch.tensor([[1, 1, 0]])
        >>> batch = Batch({"input_ids": torch.ones(1, 3, dtype=torch.int64), "attention_mask": mask})
        >>> pooled(torch.tensor([[[1.0], [3.0], [9.0]]]), batch)
        tensor([[2.]])
    """
    wide = given.to("cpu", torch.float32)
    mask = None if batch is None else batch.mask
    if mask is None or mask.shape != wide.shape[:2]:
        return wide.mean(1)
    real = mask.to("cpu")[..., None]
    return (wide * real).sum(1) / real.sum(1).clamp_min(1)
