"""Files of other ages: prefixes missing or doubled, old parameter names, buffers; the leaves stay the same."""

from __future__ import annotations

import re

import pytest
from arch_models import assert_exact, opened, specs
from hypothesis import given
from hypothesis import strategies as st

from solera.arch import identify
from solera.types import DType, TensorSpec

AGES = [
    ("llama", r"^model\.", ""),
    ("gpt2", r"^transformer\.", ""),
    ("gpt_neox", r"^gpt_neox\.", ""),
    ("bert", r"LayerNorm\.weight$", "LayerNorm.gamma"),
    ("bert", r"LayerNorm\.bias$", "LayerNorm.beta"),
    ("roberta", r"^roberta\.", ""),
    ("vit", r"^vit\.", ""),
    ("whisper", r"^model\.", ""),
    ("t5", r"^", "transformer."),
    ("llava", r"^vision_tower\.", "vision_tower.vision_model."),
    ("llava", r"^language_model\.model\.", "model.language_model."),
    ("llava", r"^language_model\.model\.", "language_model.model.model."),
    ("llava", r"^language_model\.model\.", "language_model."),
    ("gemma3", r"^vision_tower\.", "vision_tower.vision_model."),
    ("gemma3", r"^multi_modal", "model.multi_modal"),
    ("qwen2_vl", r"^model\.", "language_model."),
    ("qwen2_vl", r"^model\.", "model.language_model."),
    ("mixtral", r"\.block_sparse_moe\.gate\.", ".mlp.gate."),
]


@pytest.mark.parametrize(("name", "find", "replace"), AGES)
def test_other_file_names_give_the_same_leaves(name, find, replace):
    config, tensors = opened(name)
    aged = {re.sub(find, replace, tensor): spec for tensor, spec in tensors.items()}
    assert aged != tensors
    old, new = (identify(config, t).leaves(t, config) for t in (aged, tensors))
    assert_exact(old, aged)
    assert [(leaf.name, leaf.role, leaf.layer) for leaf in old] == [(leaf.name, leaf.role, leaf.layer) for leaf in new]


def test_a_flat_config_of_qwen2_vl_counts_its_text_layers():
    config, tensors = opened("qwen2_vl")
    flat = {**config["text_config"], **{k: v for k, v in config.items() if k != "text_config"}}
    arch = identify(flat, tensors)
    text, vision = arch.stacks(flat, tensors)
    assert (text.count, text.count_key) == (4, "num_hidden_layers")
    assert (vision.count, vision.count_key) == (4, "vision_config.depth")
    assert arch.vocab_keys == ("vocab_size",)


def test_a_sparse_text_config_is_counted_by_its_names():
    _, tensors = opened("llava")
    sparse = {
        "model_type": "llava",
        "text_config": {"model_type": "llama"},
        "vision_config": {"model_type": "clip_vision_model"},
    }
    text, vision = identify(sparse, tensors).stacks(sparse, tensors)
    assert (text.count, text.count_key, vision.count) == (4, "text_config.num_hidden_layers", 4)


@pytest.mark.parametrize(("name", "buffer", "dtype"), [
    ("gpt2", "h.0.attn.bias", DType.U8),
    ("gpt2", "transformer.h.0.attn.bias", DType.F32),
    ("gpt2", "transformer.h.0.attn.masked_bias", DType.F32),
    ("gpt_neox", "gpt_neox.layers.0.attention.bias", DType.BOOL),
    ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", DType.F32),
    ("bert", "bert.embeddings.position_ids", DType.I64),
    ("clip", "text_model.embeddings.position_ids", DType.I64),
])  # fmt: skip
def test_tables_in_files_are_buffers(name, buffer, dtype):
    config, tensors = opened(name)
    tensors = {**tensors, buffer: TensorSpec(dtype, (1, 1, 4, 4))}
    arch = identify(config, tensors)
    found = {leaf.tensor: leaf for leaf in arch.leaves(tensors, config)}[buffer]
    assert (found.role, found.kind, found.vocab_axis) == ("buffer", "buffer", None)
    assert arch.notes == ()


def test_unlisted_tensors_keep_their_name_and_are_told_of():
    config, tensors = opened("llama")
    added = {"model.layers.2.adapter.down.weight": (4, 16), "value_head.weight": (1, 16)}
    arch = identify(config, [*tensors, *added])
    found = {leaf.name: leaf for leaf in arch.leaves({**tensors, **specs(added)}, config)}
    assert (found["value_head.weight"].role, found["value_head.weight"].layer) == ("other", None)
    inside = found["model.layers.2.adapter.down.weight"]
    assert (inside.role, inside.layer, inside.place) == ("other", 2, "inside")
    assert arch.with_layer("model.layers.2.adapter.down.weight", 5) == "model.layers.5.adapter.down.weight"
    assert "2 kinds of tensors are not described for `llama`" in arch.notes[0]
    assert "value_head.weight" in arch.notes[0]


def test_names_of_another_making_under_a_known_type_are_inferred():
    names = [f"blocks.{i}.wqkv" for i in range(3)]
    arch = identify({"model_type": "llama"}, names)
    assert not arch.known
    assert [stack.count for stack in arch.stacks({}, names)] == [3]


@pytest.mark.parametrize(
    "name", ["llama", "bert", "gpt2", "gpt_neox", "t5", "whisper", "mixtral", "qwen3", "qwen3_moe", "vit"]
)
def test_without_a_config_names_alone_tell_the_architecture(name):
    _, tensors = opened(name)
    arch = identify({}, tensors)
    assert (arch.name, arch.known, arch.model_type) == (name, True, "")
    assert "by its tensor names" in arch.notes[0]


@given(experts=st.integers(1, 5), inner=st.integers(1, 4), hidden=st.integers(1, 4), odd=st.booleans())
def test_fused_experts_are_covered_whatever_their_shape(experts, inner, hidden, odd):
    shape = (experts, 2 * inner + odd, hidden)
    tensors = specs(
        {
            "model.layers.0.mlp.experts.gate_up_proj": shape,
            "model.layers.0.mlp.experts.down_proj": (experts, hidden, inner),
        }
    )
    leaves = identify({"model_type": "qwen3_moe"}, tensors).leaves(tensors, {})
    assert_exact(leaves, tensors)
    assert len(leaves) == experts + (1 if odd else 2 * experts)


@given(q=st.integers(1, 4), kv=st.integers(1, 4), head=st.integers(1, 3), extra=st.integers(0, 2))
def test_fused_attention_is_covered_whatever_its_shape(q, kv, head, extra):
    name = "model.layers.0.self_attn.qkv_proj.weight"
    tensors = specs({name: ((q + 2 * kv) * head + extra, 5)})
    config = {"model_type": "phi3", "num_attention_heads": q, "num_key_value_heads": kv}
    leaves = identify(config, tensors).leaves(tensors, config)
    assert_exact(leaves, tensors)
    if not extra:
        assert [leaf.shape[0] for leaf in leaves] == [q * head, kv * head, kv * head]


def test_fused_attention_without_head_counts_stays_whole():
    tensors = specs({"model.layers.0.self_attn.qkv_proj.weight": (8, 4)})
    (leaf,) = identify({"model_type": "phi3"}, tensors).leaves(tensors, {})
    assert (leaf.name, leaf.shape) == ("model.layers.0.self_attn.qkv_proj.weight", (8, 4))
    assert leaf.role == "attention.qkv"
