"""Architectures without a data file: stacks, roles, vocabulary and wide tensors from names, shapes and config."""

from __future__ import annotations

import pytest
from arch_models import assert_exact, specs
from hypothesis import given
from hypothesis import strategies as st

from solera.arch import identify
from solera.types import DType, TensorSpec


def layered(prefix: str, count: int, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.{i}.{name}": shape for i in range(count) for name, shape in shapes.items()}


MAMBA = specs(
    {"backbone.embeddings.weight": (64, 16), "backbone.norm_f.weight": (16,)}
    | layered(
        "backbone.layers",
        4,
        {
            "norm.weight": (16,),
            "mixer.A_log": (32, 4),
            "mixer.D": (32,),
            "mixer.conv1d.weight": (32, 1, 4),
            "mixer.dt_proj.weight": (32, 1),
            "mixer.dt_proj.bias": (32,),
            "mixer.in_proj.weight": (64, 16),
        },
    )
)
MAMBA_CONFIG = {"model_type": "mamba", "num_hidden_layers": 4, "n_layer": 4, "vocab_size": 64}

STARCODER = specs(
    {
        "model.embed_tokens.weight": (64, 16),
        "model.norm.weight": (16,),
        "model.norm.bias": (16,),
        "lm_head.weight": (64, 16),
    }
    | layered(
        "model.layers",
        4,
        {
            "input_layernorm.weight": (16,),
            "self_attn.q_proj.weight": (16, 16),
            "self_attn.k_proj.bias": (8,),
            "self_attn.o_proj.weight": (16, 16),
            "mlp.c_fc.weight": (24, 16),
            "mlp.c_proj.weight": (16, 24),
        },
    )
)
STARCODER_CONFIG = {
    "model_type": "starcoder2",
    "num_hidden_layers": 4,
    "vocab_size": 64,
    "layer_types": ["full_attention"] * 4,
}


def inferred(config, tensors):
    arch = identify(config, tensors)
    leaves = arch.leaves(tensors, config)
    assert not arch.known
    assert_exact(leaves, tensors)
    return arch, {leaf.name: leaf for leaf in leaves}


def test_mamba_keeps_its_state_space_wide():
    arch, found = inferred(MAMBA_CONFIG, MAMBA)
    wide = {name.split(".", 3)[3] for name, leaf in found.items() if leaf.wide}
    assert wide == {"mixer.A_log", "mixer.D", "mixer.dt_proj.bias"}
    assert found["backbone.layers.2.mixer.conv1d.weight"].kind == "convolution"
    assert found["backbone.layers.2.norm.weight"].role == "norm"
    assert found["backbone.embeddings.weight"].vocab_axis == 0
    (stack,) = arch.stacks(MAMBA_CONFIG, MAMBA)
    assert (stack.name, stack.count, stack.count_key) == ("", 4, "num_hidden_layers")


def test_starcoder2_roles_and_lists():
    arch, found = inferred(STARCODER_CONFIG, STARCODER)
    roles = {name: leaf.role for name, leaf in found.items()}
    assert roles["model.layers.1.self_attn.k_proj.bias"] == "attention.k"
    assert roles["model.layers.1.self_attn.o_proj.weight"] == "attention.o"
    assert roles["model.layers.1.mlp.c_fc.weight"] == "mlp.up"
    assert roles["model.layers.1.mlp.c_proj.weight"] == "mlp.down"
    assert roles["lm_head.weight"] == "head"
    assert found["lm_head.weight"].vocab_axis == 0
    (stack,) = arch.stacks(STARCODER_CONFIG, STARCODER)
    assert stack.per_layer_keys == ("layer_types",)
    assert arch.with_layer("model.layers.1.mlp.c_fc.weight", 3) == "model.layers.3.mlp.c_fc.weight"
    assert not arch.tied(STARCODER_CONFIG)
    assert arch.ties({**STARCODER_CONFIG, "tie_word_embeddings": True}) == {
        "lm_head.weight": "model.embed_tokens.weight"
    }


def test_the_note_says_what_is_lost():
    arch, _ = inferred(STARCODER_CONFIG, STARCODER)
    assert "`starcoder2` has no data file" in arch.notes[0]
    assert "4 layers under `model.layers.`" in arch.notes[0]
    assert "fused experts" in arch.notes[0]


def test_a_convolutional_network_has_stages():
    tensors = specs(
        {"stem.conv.weight": (8, 3, 7, 7), "classifier.1.weight": (2, 16)}
        | layered("net.stages", 2, {"layers.0.conv.weight": (8, 8, 3, 3), "layers.1.bn.running_mean": (8,)})
    )
    tensors["net.stages.0.layers.1.bn.num_batches_tracked"] = TensorSpec(DType.I64, ())
    arch, found = inferred({"model_type": "cnn", "depths": [2, 2]}, tensors)
    assert found["net.stages.1.layers.0.conv.weight"].layer == 1
    assert found["net.stages.1.layers.0.conv.weight"].kind == "convolution"
    assert found["net.stages.0.layers.1.bn.num_batches_tracked"].kind == "buffer"
    assert found["classifier.1.weight"].role == "head"
    assert [s.per_layer_keys for s in arch.stacks({"depths": [2, 2]}, tensors)] == [("depths",)]


def test_a_pruned_llama_has_layers_of_many_shapes():
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (64, 16), "model.norm.weight": (16,)}
    for i, inner in enumerate((24, 12, 0, 8)):
        if inner:
            shapes[f"model.layers.{i}.mlp.up_proj.weight"] = (inner, 16)
        if i != 1:
            shapes[f"model.layers.{i}.self_attn.q_proj.weight"] = (16 - 4 * i, 16)
    config = {"model_type": "nemotron-nas", "num_hidden_layers": 4, "vocab_size": 64, "block_configs": [{}, {}, {}, {}]}
    arch, found = inferred(config, specs(shapes))
    assert found["model.layers.3.self_attn.q_proj.weight"].shape == (4, 16)
    (stack,) = arch.stacks(config, shapes)
    assert (stack.count, stack.per_layer_keys) == (4, ("block_configs",))
    known = identify({**config, "model_type": "llama"}, shapes)
    assert known.known
    assert_exact(known.leaves(specs(shapes), config), specs(shapes))


def test_two_stacks_are_told_apart():
    shapes = layered("model.encoder.layers", 3, {"fc1.weight": (4, 4)}) | layered(
        "model.decoder.layers", 2, {"fc1.weight": (4, 4), "encoder_attn.q_proj.weight": (4, 4)}
    )
    config = {"model_type": "bart", "encoder_layers": 3, "decoder_layers": 2}
    arch, found = inferred(config, specs(shapes))
    stacks = {s.name: (s.count, s.count_key) for s in arch.stacks(config, shapes)}
    assert stacks == {"encoder": (3, "encoder_layers"), "decoder": (2, "decoder_layers")}
    assert found["model.decoder.layers.1.encoder_attn.q_proj.weight"].role == "attention.cross"
    assert arch.with_layer("model.decoder.layers.1.fc1.weight", 0, "encoder") == "model.decoder.layers.1.fc1.weight"
    assert arch.with_layer("model.decoder.layers.1.fc1.weight", 0, "decoder") == "model.decoder.layers.0.fc1.weight"


def test_experts_are_numbered_and_their_router_found():
    shapes = layered(
        "m.layers",
        2,
        {"moe.gate.weight": (2, 4)} | layered("moe.experts", 2, {"w1.weight": (4, 4), "w2.weight": (4, 4)}),
    )
    _, found = inferred({"model_type": "x"}, specs(shapes))
    one = found["m.layers.1.moe.experts.0.w2.weight"]
    assert (one.layer, one.expert, one.role) == (1, 0, "expert.down")
    assert found["m.layers.1.moe.gate.weight"].role == "router"


def test_numbers_that_are_no_layers():
    _, found = inferred(
        {}, specs({"features.0.weight": (8, 3), "features.3.weight": (8, 8), "features.6.weight": (8, 8)})
    )
    assert {leaf.layer for leaf in found.values()} == {None}


def test_the_vocabulary_axis_follows_the_shape():
    shapes = {"out_bias": (1, 64), "tok_embeddings.weight": (70, 8), "head.weight": (8, 64), "other.weight": (8, 8)}
    _, found = inferred({"model_type": "x", "vocab_size": 64}, specs(shapes))
    assert {name: leaf.vocab_axis for name, leaf in found.items()} == {
        "out_bias": 1, "tok_embeddings.weight": 0, "head.weight": 1, "other.weight": None,
    }  # fmt: skip


SEGMENT = st.sampled_from(
    ["layers", "blocks", "0", "1", "2", "7", "experts", "attn", "q_proj", "norm", "weight", "bias", "lm_head"]
)
NAMES = st.lists(SEGMENT, min_size=1, max_size=6).map(".".join)


@given(
    st.dictionaries(NAMES, st.lists(st.integers(0, 3), max_size=3).map(tuple), max_size=12),
    st.sampled_from(["", "x", "llama", "t5", "qwen3_moe"]),
)
def test_any_names_are_covered_exactly_once(shapes, model_type):
    tensors = specs(shapes)
    arch = identify({"model_type": model_type}, tensors)
    leaves = arch.leaves(tensors, {})
    assert_exact(leaves, tensors)
    for leaf in leaves:
        assert arch.read(arch.with_layer(leaf.tensor, 9, leaf.stack)).layer in (None, 9, leaf.layer)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": None},
        {"model_type": "llama", "num_hidden_layers": "four"},
        {"architectures": None},
        {"architectures": [3]},
    ],
)
def test_odd_configs_are_survived(config):
    names = [f"model.layers.{i}.mlp.up_proj.weight" for i in range(2)]
    arch = identify(config, names)
    assert [stack.count for stack in arch.stacks(config, names)] == [2]
