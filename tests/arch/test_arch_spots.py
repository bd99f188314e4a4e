"""Single tensors of single architectures: role, kind, axes, expert, stack, as one who knows the model would say."""

from __future__ import annotations

import pytest
from arch_models import opened, specs

from solera.arch import identify

SPOTS = [
    (
        "llama",
        "model.layers.3.self_attn.k_proj.weight",
        {"role": "attention.k", "layer": 3, "kind": "matrix", "place": "inside"},
    ),
    (
        "llama",
        "model.embed_tokens.weight",
        {"role": "embedding", "kind": "embedding", "vocab_axis": 0, "place": "before"},
    ),
    ("llama", "model.norm.weight", {"role": "norm", "kind": "vector", "layer": None, "place": "after"}),
    ("llama", "lm_head.weight", {"role": "head", "vocab_axis": 0, "place": "after"}),
    ("mixtral", "model.layers.2.block_sparse_moe.experts.1.w3.weight", {"role": "expert.up", "layer": 2, "expert": 1}),
    ("mixtral", "model.layers.2.block_sparse_moe.gate.weight", {"role": "router", "expert": None}),
    ("qwen2", "model.layers.0.self_attn.q_proj.bias", {"role": "attention.q", "kind": "vector"}),
    ("qwen3", "model.layers.0.self_attn.q_norm.weight", {"role": "norm"}),
    ("qwen2_moe", "model.layers.1.mlp.gate_proj.weight", {"role": "mlp.gate", "expert": None}),
    ("qwen2_moe", "model.layers.0.mlp.shared_expert.up_proj.weight", {"role": "mlp.up"}),
    ("qwen2_moe", "model.layers.0.mlp.shared_expert_gate.weight", {"role": "router"}),
    (
        "qwen3_moe",
        "model.layers.3.mlp.experts.2.down_proj.weight",
        {"role": "expert.down", "expert": 2, "shape": (16, 8)},
    ),
    ("gemma2", "model.layers.0.pre_feedforward_layernorm.weight", {"role": "norm"}),
    ("gemma3", "language_model.model.layers.1.self_attn.k_norm.weight", {"role": "norm", "stack": "text"}),
    ("gemma3", "multi_modal_projector.mm_input_projection_weight", {"role": "projector", "out_axis": -1, "in_axis": 0}),
    ("phi3", "model.layers.1.self_attn.v_proj.weight", {"role": "attention.v", "start": 24 * 16, "shape": (8, 16)}),
    ("phi3", "model.layers.1.mlp.up_proj.weight", {"role": "mlp.up", "start": 24 * 16, "shape": (24, 16)}),
    ("gpt2", "transformer.h.0.attn.c_attn.weight", {"role": "attention.qkv", "out_axis": -1, "in_axis": 0}),
    ("gpt2", "transformer.h.0.attn.c_attn.bias", {"role": "attention.qkv", "out_axis": 0, "kind": "vector"}),
    ("gpt2", "transformer.wpe.weight", {"role": "embedding.position", "vocab_axis": None, "kind": "embedding"}),
    ("gpt_neox", "embed_out.weight", {"role": "head", "vocab_axis": 0}),
    ("olmo2", "model.layers.0.post_feedforward_layernorm.weight", {"role": "norm"}),
    ("deepseek_v2", "model.layers.0.self_attn.kv_b_proj.weight", {"role": "attention.kv"}),
    (
        "deepseek_v3",
        "model.layers.1.mlp.gate.e_score_correction_bias",
        {"role": "router", "wide": True, "kind": "vector"},
    ),
    ("deepseek_v3", "model.layers.1.mlp.gate.weight", {"role": "router", "wide": False}),
    ("deepseek_v3", "model.layers.1.mlp.shared_experts.down_proj.weight", {"role": "mlp.down", "expert": None}),
    ("bert", "bert.encoder.layer.2.output.dense.weight", {"role": "mlp.down", "layer": 2}),
    ("bert", "bert.encoder.layer.2.attention.output.dense.weight", {"role": "attention.o"}),
    ("bert", "cls.predictions.bias", {"role": "head", "vocab_axis": 0, "kind": "vector"}),
    ("bert_model", "bert.pooler.dense.weight", {"role": "pooler", "tensor": "pooler.dense.weight"}),
    ("bert_classifier", "classifier.weight", {"role": "head", "vocab_axis": None}),
    ("roberta", "lm_head.layer_norm.weight", {"role": "norm"}),
    (
        "t5",
        "decoder.block.3.layer.1.EncDecAttention.k.weight",
        {"role": "attention.cross.k", "stack": "decoder", "layer": 3},
    ),
    ("t5", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", {"role": "embedding.position"}),
    ("t5", "shared.weight", {"role": "embedding", "vocab_axis": 0, "module": "shared", "place": "before"}),
    ("t5_gated", "decoder.block.1.layer.2.DenseReluDense.wi_0.weight", {"role": "mlp.gate"}),
    ("vit", "vit.embeddings.patch_embeddings.projection.weight", {"role": "embedding.patch", "kind": "convolution"}),
    ("vit", "vit.embeddings.position_embeddings", {"role": "embedding.position", "kind": "embedding"}),
    ("vit", "vit.embeddings.cls_token", {"role": "embedding.class", "kind": "vector"}),
    ("vit", "vit.encoder.layer.1.attention.attention.query.weight", {"role": "attention.q", "layer": 1}),
    ("clip", "logit_scale", {"role": "scale", "kind": "scalar", "place": "none"}),
    ("clip", "vision_model.encoder.layers.0.mlp.fc1.weight", {"role": "vision.mlp.up", "stack": "vision"}),
    ("clip", "text_model.embeddings.token_embedding.weight", {"role": "embedding", "vocab_axis": 0}),
    ("whisper", "model.decoder.layers.0.encoder_attn.q_proj.weight", {"role": "attention.cross.q", "stack": "decoder"}),
    ("whisper", "model.encoder.conv1.weight", {"role": "embedding.patch", "kind": "convolution", "stack": "encoder"}),
    ("llava", "multi_modal_projector.linear_1.weight", {"role": "projector", "module": "projector", "place": "none"}),
    (
        "llava",
        "vision_tower.encoder.layers.2.self_attn.q_proj.weight",
        {"role": "vision.attention.q", "layer": 2, "module": "vision"},
    ),
    (
        "llava",
        "language_model.model.layers.2.self_attn.q_proj.weight",
        {"role": "attention.q", "stack": "text", "module": "text"},
    ),
    (
        "qwen2_vl",
        "visual.blocks.1.attn.k.bias",
        {"role": "vision.attention.k", "start": 16, "tensor": "visual.blocks.1.attn.qkv.bias"},
    ),
    ("qwen2_vl", "visual.merger.mlp.2.weight", {"role": "vision.projector", "layer": None}),
]


@pytest.mark.parametrize(("name", "leaf", "want"), SPOTS, ids=[f"{n}-{leaf}" for n, leaf, _ in SPOTS])
def test_leaf(name, leaf, want):
    config, tensors = opened(name)
    found = {one.name: one for one in identify(config, tensors).leaves(tensors, config)}[leaf]
    assert {key: getattr(found, key) for key in want} == want


def test_fused_experts_are_ranges_of_the_stacked_tensors():
    config, tensors = opened("qwen3_moe", memory_layout=True)
    found = {leaf.name: leaf for leaf in identify(config, tensors).leaves(tensors, config)}
    up = found["model.layers.2.mlp.experts.1.up_proj.weight"]
    assert (up.tensor, up.start, up.shape) == ("model.layers.2.mlp.experts.gate_up_proj", (2 * 8 + 8) * 16, (8, 16))
    down = found["model.layers.2.mlp.experts.2.down_proj.weight"]
    assert (down.tensor, down.start, down.shape) == ("model.layers.2.mlp.experts.down_proj", 2 * 16 * 8, (16, 8))


def test_config_keys_that_follow_the_layers():
    stack = identify(*opened("qwen2_moe")).stacks(*opened("qwen2_moe"))[0]
    assert stack.index_keys == ("mlp_only_layers",)
    stack = identify(*opened("deepseek_v3")).stacks(*opened("deepseek_v3"))[0]
    assert stack.leading_keys == ("first_k_dense_replace",)
    text = identify(*opened("gemma3")).stacks(*opened("gemma3"))[0]
    assert (text.name, text.count_key) == ("text", "text_config.num_hidden_layers")
    assert text.per_layer_keys == ("text_config.layer_types",)
    decoder = {s.name: s for s in identify(*opened("t5")).stacks(*opened("t5"))}["decoder"]
    assert decoder.count_key == "num_decoder_layers"


def test_t5_decoder_is_as_deep_as_its_encoder_when_the_config_is_silent():
    names = [f"{side}.block.{i}.layer.0.layer_norm.weight" for side in ("encoder", "decoder") for i in range(3)]
    config = {"model_type": "t5", "num_layers": 3}
    stacks = {s.name: s for s in identify(config, names).stacks(config, names)}
    assert (stacks["decoder"].count, stacks["decoder"].count_key) == (3, "num_decoder_layers")


def test_layers_beyond_the_count_are_outside_their_stack():
    names = {f"model.layers.{i}.mlp.up_proj.weight": (4, 4) for i in range(3)}
    names |= {"model.layers.2.eh_proj.weight": (4, 8), "model.layers.2.embed_tokens.weight": (9, 4)}
    config = {"model_type": "deepseek_v3", "num_hidden_layers": 2, "num_nextn_predict_layers": 1}
    found = {leaf.name: leaf for leaf in identify(config, names).leaves(specs(names), config)}
    assert found["model.layers.1.mlp.up_proj.weight"].layer == 1
    assert found["model.layers.2.mlp.up_proj.weight"].layer is None
    assert found["model.layers.2.mlp.up_proj.weight"].place == "after"
    assert found["model.layers.2.embed_tokens.weight"].vocab_axis == 0


def test_sites_and_symmetries_name_modules_of_a_layer():
    arch = identify(*opened("llama"))
    assert arch.sites()["self_attn.q_proj"] == ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    heads = {s.name: s for s in arch.symmetries()}["heads"]
    assert (heads.units, heads.groups, heads.inputs) == (
        "num_attention_heads",
        "num_key_value_heads",
        ("self_attn.o_proj",),
    )
    assert identify(*opened("llava")).sites("vision")["mlp.fc1"] == ("mlp.fc1",)
    assert arch.sites("no such stack") == {}
