"""Inputs of official code on experts: made from a fixed generator, small, the same for script and test."""

from __future__ import annotations

import torch
from torch import Tensor

EXPERTS, TOP, WIDTH, INNER, TOKENS, LAYERS = 6, 2, 5, 4, 40, 3
PROMPTS = (((3, 9, 4), (17, 5, 8)), ((11, 2, 2), (6, 30, 1)))
"""Token ids: (positive, negative) of each expert would be padded if lengths differed; so they do not."""
LLAMA = {
    "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 32,
}  # fmt: skip


def draw(seed: int, *shape: int) -> Tensor:
    """Normal draws."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def logits(layer: int = 0) -> Tensor:
    """Of a router, (tokens, experts); expert 5 is hardly ever chosen."""
    return draw(layer, TOKENS, EXPERTS) + torch.tensor([0.8, 0.4, 0.0, 0.3, -0.4, -3.0])


def outputs(layer: int = 0) -> Tensor:
    """Of every expert on every token, (experts, tokens, width)."""
    return draw(100 + layer, EXPERTS, TOKENS, WIDTH) * torch.arange(1.0, EXPERTS + 1)[:, None, None]


def points(case: int) -> Tensor:
    """Mean outputs to be clustered, (experts, width)."""
    return draw(200 + case, 8, WIDTH)


def usage(layer: int) -> Tensor:
    """Share of the choices that fall on each expert."""
    chosen = logits(layer).topk(TOP, dim=1).indices
    return torch.bincount(chosen.reshape(-1), minlength=EXPERTS).double() / chosen.numel()


def matrices(layer: int, expert: int) -> tuple[Tensor, Tensor, Tensor]:
    """Gate, up and down of an expert."""
    seed = 1000 + 50 * layer + expert
    return draw(seed, INNER, WIDTH), draw(seed + 20, INNER, WIDTH), draw(seed + 40, WIDTH, INNER)


def weights(specs: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Of a small Llama, by the names of its state."""
    return {name: draw(5000 + k, *shape) * 0.2 for k, (name, shape) in enumerate(sorted(specs.items()))}
