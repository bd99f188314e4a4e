"""What is refused, and how it is said."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    StaticCache,
    T5Config,
    T5ForConditionalGeneration,
)

from solera.errors import BadParameter, CheckpointError, RunError, UnknownName
from solera.inference.kv import Budget, budgeted, solera_cache

from .conftest import SHAPE, decoder, generate


@pytest.mark.parametrize("budget", [0.0, -0.5, 1.5, float("nan"), float("inf"), 0, 1, 3, True, "half"])
def test_budgets(llama, budget) -> None:
    with pytest.raises(BadParameter, match="budget"):
        solera_cache(llama, budget=budget)


def test_budget_in_percent_says_what_to_write() -> None:
    with pytest.raises(BadParameter, match=r"write 0\.35"):
        Budget(35.0)


@pytest.mark.parametrize(
    "options",
    [
        *({"spare": (3,)}, {"spare": 2}, {"observe": 0}, {"observe": 2.5}, {"slack": 1.0}, {"slack": "none"}),
        *({"method": "h2o", "heavy": 2.0}, {"nonsense": 1}),
    ],
)
def test_options(llama, options) -> None:
    with pytest.raises(BadParameter):
        solera_cache(llama, **options)


def test_unknown_method(llama) -> None:
    with pytest.raises(UnknownName, match="kvmerger"):
        solera_cache(llama, method="kvmerge")


def test_padding_on_the_right(llama, ids) -> None:
    mask = torch.ones_like(ids)
    mask[:, -3:] = 0
    with pytest.raises(RunError, match="padded on the right"):
        llama(ids, attention_mask=mask, past_key_values=solera_cache(llama, budget=0.5))
    assert llama.config._attn_implementation == "sdpa"


def test_padding_after_a_text_has_begun(llama, ids) -> None:
    cache = solera_cache(llama, budget=8, method="h2o")
    llama(ids, past_key_values=cache)
    with pytest.raises(RunError, match="padded on the right"):
        llama(ids[:, :1], attention_mask=torch.tensor([[1] * 32 + [0]]), past_key_values=cache)


def test_a_budget_of_few_tokens_is_not_advised() -> None:
    with pytest.raises(BadParameter) as told:
        Budget(1.5)
    assert "tokens write" not in str(told.value)


def test_masks_of_ones_own(llama, ids) -> None:
    mask = torch.zeros(1, 1, 32, 32)
    with pytest.raises(RunError, match="4 dimensions"):
        llama(ids, attention_mask=mask, past_key_values=solera_cache(llama, budget=0.5))


def test_cutting_back(llama, ids) -> None:
    cache = solera_cache(llama, budget=0.5)
    llama(ids, past_key_values=cache)
    assert not cache.is_croppable
    with pytest.raises(RunError, match="cut back"):
        cache.crop(-2)


def test_static_caches(llama, ids) -> None:
    with budgeted(llama, budget=0.5), pytest.raises(RunError, match="StaticCache"):
        llama(ids, past_key_values=StaticCache(config=llama.config, max_cache_len=64))
    llama.generation_config.cache_implementation = "static"
    try:
        with pytest.raises(RunError, match="static"):
            solera_cache(llama, budget=0.5)
    finally:
        llama.generation_config.cache_implementation = None


def test_filled_caches(llama, ids) -> None:
    from transformers import DynamicCache

    cache = DynamicCache(config=llama.config)
    llama(ids, past_key_values=cache)
    with budgeted(llama, budget=0.5), pytest.raises(RunError, match="filled before"):
        llama(ids, past_key_values=cache)


def test_cache_of_another_model(llama, ids) -> None:
    other = decoder("llama", 2)
    with pytest.raises(RunError, match="not made for"):
        generate(other, ids, solera_cache(llama, budget=0.5))


def test_architectures() -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    bert = BertModel(BertConfig(**small, vocab_size=20))
    with pytest.raises(CheckpointError):
        solera_cache(bert, budget=0.5)
    t5 = T5ForConditionalGeneration(T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=20))
    with pytest.raises(CheckpointError, match="decoders"):
        solera_cache(t5, budget=0.5)


def test_layers_without_a_plain_cache(llama, monkeypatch) -> None:
    monkeypatch.setattr(
        llama.config, "layer_types", ["full_attention", "linear_attention", "full_attention"], raising=False
    )
    with pytest.raises(CheckpointError, match="linear_attention"):
        solera_cache(llama, budget=0.5)


def test_attention_that_gives_no_scores(llama, ids, monkeypatch) -> None:
    cache = solera_cache(llama, budget=0.5)
    monkeypatch.setattr(llama.config, "_attn_implementation_internal", "flex_attention")
    with pytest.raises(RunError, match="flex_attention"):
        llama(ids, past_key_values=cache)


def test_a_batch_of_another_size(llama, ids) -> None:
    cache = solera_cache(llama, budget=8)
    llama(ids, past_key_values=cache)
    with pytest.raises(RunError, match="another size"):
        llama(ids.repeat(2, 1), past_key_values=cache)


def test_caches_of_latents_take_no_scores(ids) -> None:
    ranks = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 12}
    experts = {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2}
    shape = SHAPE | ranks | experts | {"num_key_value_heads": 4, "moe_intermediate_size": 16, "num_hidden_layers": 2}
    model = DeepseekV3ForCausalLM(DeepseekV3Config(**shape)).eval()
    with pytest.raises(CheckpointError, match="does not hold the keys"):
        model(ids, past_key_values=solera_cache(model, budget=8, method="h2o"))
    cache = solera_cache(model, budget=8, method="window")
    model.generate(ids, past_key_values=cache, max_new_tokens=3, do_sample=False)
    assert max(cache.physical_lengths) <= 8
