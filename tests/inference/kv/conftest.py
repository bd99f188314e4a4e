"""Tiny decoders of random weights, and prompts."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

VOCAB = 48
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}


@cache
def decoder(kind: str = "llama", layers: int = 3, attention: str = "sdpa"):
    """A model; `kind` says which."""
    torch.manual_seed(3)
    made = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, num_hidden_layers=layers)),
        "mistral": lambda: MistralForCausalLM(MistralConfig(**SHAPE, num_hidden_layers=layers, sliding_window=12)),
        "gemma2": lambda: Gemma2ForCausalLM(
            Gemma2Config(**SHAPE, num_hidden_layers=layers, sliding_window=12, head_dim=8)
        ),
    }
    model = made[kind]().eval()
    model.set_attn_implementation(attention)
    return model


@pytest.fixture
def llama():
    """Three layers, two heads with keys for four."""
    return decoder()


@pytest.fixture
def ids() -> torch.Tensor:
    """One text of 32 tokens."""
    return torch.randint(1, VOCAB, (1, 32), generator=torch.Generator().manual_seed(5))


def generate(model, ids: torch.Tensor, cache=None, mask: torch.Tensor | None = None, tokens: int = 12, **options):
    """Greedy tokens and logits."""
    found = model.generate(
        ids,
        attention_mask=torch.ones_like(ids) if mask is None else mask,
        past_key_values=cache,
        max_new_tokens=tokens,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
        **options,
    )
    return found.sequences, torch.stack(found.logits, 1)
