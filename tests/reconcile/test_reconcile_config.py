"""config.json in line with the tensors, in the spelling it was read in; loaded with transformers."""

import json

import pytest

from solera.errors import PlanError
from solera.methods.vocab import Vocabulary
from solera.reconcile import config_differences, layer_warnings, moved_token_ids, reconcile_config
from solera.types import DType

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "float32",
    "num_hidden_layers": 4,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 30,
    "rope_theta": 5e5,
    "rope_scaling": None,
    "tie_word_embeddings": True,
    "temperature": 0.7,
    "eos_token_id": [1, 2],
}


def test_only_what_changed_changes():
    out = reconcile_config(LLAMA, dtype=DType.BF16, vocab_size=41, layer_counts={"num_hidden_layers": 6}, tied=False)
    changed = {"torch_dtype": "bfloat16", "vocab_size": 41, "num_hidden_layers": 6, "tie_word_embeddings": False}
    assert out == {**LLAMA, **changed}
    assert list(out) == list(LLAMA)
    assert LLAMA["vocab_size"] == 30


def test_nothing_asked_nothing_changed():
    assert reconcile_config(LLAMA) == LLAMA


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"dtype": "float32"}, {"dtype": "float16"}),
        ({"torch_dtype": "float32"}, {"torch_dtype": "float16"}),
        ({}, {"torch_dtype": "float16"}),
        ({"text_config": {"dtype": "float32"}}, {"text_config": {"dtype": "float16"}, "dtype": "float16"}),
        ({"transformers_version": "5.1.0"}, {"transformers_version": "5.1.0", "dtype": "float16"}),
        ({"transformers_version": "4.40.1"}, {"transformers_version": "4.40.1", "torch_dtype": "float16"}),
        (
            {"dtype": "float32", "text_config": {"dtype": "float32"}, "vision_config": {"torch_dtype": "float32"}},
            {"dtype": "float16", "text_config": {"dtype": "float16"}, "vision_config": {"torch_dtype": "float16"}},
        ),
    ],
)
def test_dtype_is_written_where_and_as_it_was(config, expected):
    assert reconcile_config(config, dtype=DType.F16) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"text_config": {"vocab_size": 8}, "vision_config": {"vocab_size": 3}},
            {"text_config": {"vocab_size": 9}, "vision_config": {"vocab_size": 3}},
        ),
        ({"vocab_size": 8, "text_config": {"vocab_size": 8}}, {"vocab_size": 9, "text_config": {"vocab_size": 9}}),
        ({"text_config": {"hidden_size": 8}}, {"text_config": {"hidden_size": 8, "vocab_size": 9}}),
        ({"model_type": "x"}, {"model_type": "x", "vocab_size": 9}),
    ],
)
def test_vocabulary_of_nested_text_models(config, expected):
    assert reconcile_config(config, vocab_size=9) == expected


def test_tie_flag_everywhere():
    nested = {"text_config": {"tie_word_embeddings": True}, "tie_word_embeddings": True}
    assert reconcile_config(nested, tied=False) == {
        "text_config": {"tie_word_embeddings": False},
        "tie_word_embeddings": False,
    }
    assert reconcile_config({"text_config": {}}, tied=True, tie_key="text_config.tie_word_embeddings") == {
        "text_config": {"tie_word_embeddings": True}
    }


def test_per_layer_lists_follow_the_layers():
    config = {
        "text_config": {
            "num_hidden_layers": 4,
            "layer_types": ["full", "slide", "full", "slide"],
            "mlp_only_layers": [0, 3],
            "attention_types": "full",
        }
    }
    old = (0, 1, 2, 1, 2, 3)
    keys = [
        "text_config.layer_types",
        "text_config.mlp_only_layers",
        "text_config.attention_types",
        "text_config.missing",
    ]
    out = reconcile_config(
        config, layer_counts={"text_config.num_hidden_layers": 6}, per_layer=dict.fromkeys(keys, old)
    )
    assert out["text_config"] == {
        "num_hidden_layers": 6,
        "layer_types": ["full", "slide", "full", "slide", "full", "slide"],
        "mlp_only_layers": [0, 5],
        "attention_types": "full",
    }


def test_a_short_list_is_an_error():
    with pytest.raises(PlanError, match="layer_types"):
        reconcile_config({"layer_types": ["a"]}, per_layer={"layer_types": [0, 1]})


def test_leading_layers_are_counted_anew():
    config = {"num_hidden_layers": 4, "first_k_dense_replace": 1}
    assert reconcile_config(config, leading={"first_k_dense_replace": [0, 0, 1, 2, 3]})["first_k_dense_replace"] == 2
    assert reconcile_config(config, leading={"first_k_dense_replace": [1, 2]})["first_k_dense_replace"] == 0
    assert reconcile_config({"n": 4}, leading={"n": [0, 1]})["n"] == 2
    assert reconcile_config({}, leading={"n": [0, 1]}) == {}
    with pytest.raises(PlanError, match="layer 2 of the output"):
        reconcile_config(config, leading={"first_k_dense_replace": [0, 1, 0, 1]})


def test_patches_remove_what_views_consumed():
    config = {"quantization_config": {"quant_method": "fp8"}, "text_config": {"quantization_config": {}, "a": 1}}
    patch = {"quantization_config": None, "text_config.quantization_config": None, "num_experts": 4, "x.y": None}
    assert reconcile_config(config, patch=patch) == {"text_config": {"a": 1}, "num_experts": 4}


def test_code_and_places_do_not_travel():
    config = {"auto_map": {"AutoModel": "modeling_x.X"}, "_name_or_path": "/home/me/model"}
    assert reconcile_config(config) == {}
    assert reconcile_config(config, keep_code=True) == {"auto_map": config["auto_map"]}
    assert reconcile_config({"_name_or_path": "org/model"}) == {"_name_or_path": "org/model"}


def test_layer_rules_are_pointed_out():
    config = {
        "num_hidden_layers": 4,
        "first_k_dense_replace": 1,
        "moe_layer_freq": 1,
        "max_window_layers": 4,
        "use_sliding_window": False,
    }
    assert len(layer_warnings(config, {"num_hidden_layers": 8})) == 1
    assert "first_k_dense_replace" in layer_warnings(config, {"num_hidden_layers": 8})[0]
    assert layer_warnings(config, {"num_hidden_layers": 4}) == ()
    nested = {"text_config": {"num_hidden_layers": 2, "sliding_window_pattern": 6}}
    assert "text_config.sliding_window_pattern: 6" in layer_warnings(nested, {"text_config.num_hidden_layers": 3})[0]


@pytest.mark.end_to_end
def test_loaded_by_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    out = reconcile_config(LLAMA, dtype=DType.BF16, vocab_size=41, layer_counts={"num_hidden_layers": 6}, tied=False)
    (tmp_path / "config.json").write_text(json.dumps(out))
    loaded = transformers.AutoConfig.from_pretrained(tmp_path, local_files_only=True)
    assert (loaded.vocab_size, loaded.num_hidden_layers, loaded.tie_word_embeddings) == (41, 6, False)
    assert str(loaded.dtype).removeprefix("torch.") == "bfloat16"
    assert loaded.rope_parameters["rope_theta"] == 5e5
    loaded.save_pretrained(tmp_path / "again")
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert config_differences({"written": out, "again": again}) == ()


def test_spellings_of_both_versions_count_as_equal():
    old = {"rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 2.0}, "torch_dtype": "float32"}
    new = {"rope_parameters": {"rope_theta": 1e4, "rope_type": "linear", "factor": 2.0}, "dtype": "bfloat16"}
    assert config_differences({"a": old, "b": new}) == ()
    local = {"rope_theta": 1e6, "rope_local_base_freq": 1e4}
    both = {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}
    assert config_differences({"a": local, "b": {"rope_parameters": both}}) == ()


def test_differences_are_said_with_names():
    configs = {
        "base": {"rms_norm_eps": 1e-5, "text_config": {"rope_theta": 1e4}, "_name_or_path": "x"},
        "a": {"rms_norm_eps": 1e-6, "text_config": {"rope_theta": 1e4}},
        "b": {"rms_norm_eps": 1e-6, "text_config": {"rope_parameters": {"rope_theta": 5e5}}, "_name_or_path": "y"},
    }
    eps, rope = config_differences(configs)
    assert eps == "rms_norm_eps: 1e-05 in base, 1e-06 in a, 1e-06 in b; the merge keeps 1e-05"
    assert rope.startswith("text_config.rope_parameters.rope_theta: 10000.0 in base, 500000.0 in b")
    assert config_differences({"base": configs["base"]}) == ()
    ids = {"a": {"eos_token_id": 1}, "b": {"eos_token_id": [1, 2]}}
    assert config_differences(ids) == ("eos_token_id: 1 in a, [1, 2] in b; the merge keeps 1",)
    assert config_differences(ids, token_ids=False) == ()


def test_token_ids_follow_their_tokens():
    before, after = Vocabulary({"<s>": 0, "</s>": 1, "<i>": 2}), Vocabulary({"</s>": 0, "<s>": 5})
    config = {
        "bos_token_id": 0,
        "eos_token_id": [1, 9],
        "pad_token_id": None,
        "text_config": {"image_token_index": 2},
        "n": 1,
    }
    out, notes = moved_token_ids(config, before, after)
    assert out == {
        "bos_token_id": 5,
        "eos_token_id": [0, 9],
        "pad_token_id": None,
        "text_config": {"image_token_index": 2},
        "n": 1,
    }
    assert len(notes) == 2
    assert moved_token_ids(config, before, before) == (config, ())
