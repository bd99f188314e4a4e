"""A small ViT with random weights, and images."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")


def vit(kind: str = "vit", attention: str = "sdpa", **changes):
    """A vision model of 65 tokens (66 with a distillation token)."""
    import transformers

    classes = {
        "vit": (transformers.ViTConfig, transformers.ViTForImageClassification),
        "deit": (transformers.DeiTConfig, transformers.DeiTForImageClassification),
        "clip": (transformers.CLIPVisionConfig, transformers.CLIPVisionModel),
    }
    config, model = classes[kind]
    sizes = {"image_size": 32, "patch_size": 4, "hidden_size": 32, "num_hidden_layers": 4, "intermediate_size": 48}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = config(**{**sizes, "num_attention_heads": 2, "initializer_range": 0.2, **changes})
        return model._from_config(made, attn_implementation=attention).eval()


def images(rows: int = 3, seed: int = 0):
    """(rows, 3, 32, 32)."""
    return torch.randn(rows, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def answer(model, pixels):
    """What a model gives at its special token."""
    with torch.no_grad():
        found = model(pixel_values=pixels)
    return found.logits if "logits" in found else found.pooler_output


@pytest.fixture(scope="session")
def model():
    return vit()
