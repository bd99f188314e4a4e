"""Settings of the tiny models: one entry per architecture, as small as its code allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a tiny model is."""

    layers: int = 4
    vocab: int = 64


Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TinyModel:
    """How one tiny model is made: model type, class to build, settings by size, where the text settings are nested."""

    model_type: str
    head: str
    make: Callable[[Sizes], Settings]
    own: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    def settings(self, sizes: Sizes, tied: bool | None, changes: Mapping[str, Any]) -> Settings:
        """Keyword arguments for the config class."""
        settings = {**self.make(sizes), **self.own}
        inner = settings[self.text] = dict(settings[self.text]) if self.text else {}
        (inner if self.text else settings).update(changes)
        if not self.text:
            del settings[""]
        if tied is not None:
            settings["tie_word_embeddings"] = tied
        return settings


def decoder(sizes: Sizes) -> Settings:
    """A Llama-like decoder: 4 heads on 2 key-value heads, width 16."""
    return {
        "vocab_size": sizes.vocab,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": None,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def encoder(sizes: Sizes) -> Settings:
    """A BERT-like encoder."""
    return {
        "vocab_size": sizes.vocab,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
    }


def vision(sizes: Sizes) -> Settings:
    """A ViT- or CLIP-like vision tower: 8 x 8 images in four patches."""
    return {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": 4,
        "image_size": 8,
        "patch_size": 4,
    }


def llava(sizes: Sizes) -> Settings:
    """A Llama that sees through a CLIP tower."""
    return {
        "vision_config": {"model_type": "clip_vision_model", **vision(sizes)},
        "text_config": {"model_type": "llama", **decoder(sizes)},
        "image_token_id": 5,
        "vision_feature_layer": -1,
    }


EXPERTS = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 8}

CONFIGS: Mapping[str, TinyModel] = {
    "llama": TinyModel("llama", "LlamaForCausalLM", decoder),
    "qwen3_moe": TinyModel(
        "qwen3_moe", "Qwen3MoeForCausalLM", decoder, {**EXPERTS, "head_dim": 4, "mlp_only_layers": [1]}
    ),
    "bert": TinyModel("bert", "BertForMaskedLM", encoder),
    "bert_model": TinyModel("bert", "BertModel", encoder),
    "llava": TinyModel("llava", "LlavaForConditionalGeneration", llava, text="text_config"),
}
