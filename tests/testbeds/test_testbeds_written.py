"""Answers that a mixture of experts writes: one saved as in training, with its routers' loss, writes too."""

from types import SimpleNamespace

import pytest

from solera.testbeds.language.generation import _written

transformers = pytest.importorskip("transformers")
SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def test_a_mixture_in_training_writes_rows_of_unequal_length():
    config = transformers.MixtralConfig(
        vocab_size=12, num_key_value_heads=1, num_local_experts=2, output_router_logits=True, pad_token_id=0,
        eos_token_id=1, bos_token_id=2, max_position_embeddings=32, **SIZES,
    )  # fmt: skip
    model = transformers.MixtralForCausalLM(config).eval()
    tokenizer = SimpleNamespace(pad_token_id=0, eos_token_id=1)
    found = _written(tokenizer, [([3, 4, 5], [1]), ([6], [1])], 3, model)
    assert [1 <= len(row) <= 3 for row in found] == [True, True]
