"""Adapters applied lazily give the weights that peft's merge_and_unload gives."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from solera.checkpoints import FileReader, open_checkpoint
from solera.errors import CheckpointError, MissingTensor, NotFound, ShapeMismatch
from solera.types import LoraRef, ModelRef

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")


def _llama(**options):
    config = transformers.LlamaConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=50, max_position_embeddings=32, **options,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def _gpt2():
    config = transformers.GPT2Config(n_embd=24, n_layer=2, n_head=4, vocab_size=50, n_positions=16)
    return transformers.GPT2LMHeadModel(config)


def _neox():
    config = transformers.GPTNeoXConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, vocab_size=50
    )
    return transformers.GPTNeoXForCausalLM(config)


def _mixtral():
    config = transformers.MixtralConfig(
        hidden_size=24, intermediate_size=16, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=50, num_local_experts=2,
    )  # fmt: skip
    return transformers.MixtralForCausalLM(config)


def _llava():
    vision = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**vision, "num_key_value_heads": 2, "vocab_size": 50, "model_type": "llama"}
    vision |= {"image_size": 8, "patch_size": 4, "model_type": "clip_vision_model"}
    return transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(text_config=text, vision_config=vision))


def _vit():
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, image_size=8, patch_size=4
    )
    return transformers.ViTForImageClassification(config)


def _saved(tmp_path, model, **config):
    """Save model and a randomised adapter; return the weights that peft merges and transformers writes."""
    torch.manual_seed(1)
    model.save_pretrained(tmp_path / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = peft.get_peft_model(model, peft.LoraConfig(**config))
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn_like(parameter) * 0.2
                parameter.data = parameter.data * (1 + noise) if "magnitude" in name else parameter.data + noise
        adapted.save_pretrained(tmp_path / "lora", save_embedding_layers=False)
        adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    with FileReader() as reader:
        table = open_checkpoint(tmp_path / "merged").table
        return {name: _read(source, reader) for name, source in table.items()}


def _opened(tmp_path, weight=1.0):
    return open_checkpoint(ModelRef(str(tmp_path / "base"), loras=(LoraRef(str(tmp_path / "lora"), weight=weight),)))


def _read(source, reader):
    return source.read(reader, 0, source.spec.numel).reshape(source.spec.shape)


def _assert_merged(checkpoint, merged):
    with FileReader() as reader:
        for name, source in checkpoint.table.items():
            ours, theirs = _read(source, reader).double(), merged[name].double()
            error = (ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30)
            assert error <= 1e-6, (name, float(error))


ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = {
    "plain": (_llama, {"target_modules": ALL, "r": 4, "lora_alpha": 16}),
    "rslora": (_llama, {"target_modules": ALL, "r": 4, "lora_alpha": 16, "use_rslora": True}),
    "patterns": (
        _llama,
        {
            "target_modules": ALL,
            "r": 4,
            "rank_pattern": {"q_proj": 6, r"layers\.1\.mlp\..*": 2},
            "alpha_pattern": {"layers.0.self_attn.k_proj": 3, "^model.layers.1.self_attn.q_proj": 5},
        },
    ),
    "dora": (_llama, {"target_modules": ALL, "r": 4, "use_dora": True}),
    "dora_rslora": (_llama, {"target_modules": ["q_proj", "down_proj"], "r": 4, "use_dora": True, "use_rslora": True}),
    "embedding": (_llama, {"target_modules": ["embed_tokens", "lm_head", "q_proj"], "r": 4}),
    "dora_embedding": (_llama, {"target_modules": ["embed_tokens", "q_proj"], "r": 4, "use_dora": True}),
    "gpt2": (_gpt2, {"target_modules": ["c_attn", "c_proj", "c_fc"], "r": 4, "fan_in_fan_out": True}),
    "gpt2_dora": (_gpt2, {"target_modules": ["c_attn", "c_proj"], "r": 4, "fan_in_fan_out": True, "use_dora": True}),
    "modules_to_save": (_llama, {"target_modules": ["q_proj"], "r": 4, "modules_to_save": ["lm_head", "norm"]}),
    "token_rows": (_llama, {"target_modules": ["q_proj"], "r": 4, "trainable_token_indices": [3, 7, 11]}),
    "lora_bias": (
        lambda: _llama(attention_bias=True),
        {"target_modules": ["q_proj", "o_proj"], "r": 4, "lora_bias": True},
    ),
    "trained_biases": (
        lambda: _llama(attention_bias=True),
        {"target_modules": ["q_proj"], "r": 4, "bias": "all"},
    ),
    "convolution": (_vit, {"target_modules": ["projection", "q_proj", "fc1"], "r": 4}),
    "neox": (_neox, {"target_modules": ["query_key_value", "lm_head"], "r": 4}),
    "mixtral": (_mixtral, {"target_modules": ["q_proj", "o_proj"], "r": 4}),
    "llava": (_llava, {"target_modules": "all-linear", "r": 4}),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_peft(tmp_path, case):
    torch.manual_seed(0)
    make, config = CASES[case]
    merged = _saved(tmp_path, make(), **config)
    checkpoint = _opened(tmp_path)
    changed = [name for name, source in checkpoint.table.items() if "Range" not in type(source).__name__]
    assert changed or case == "modules_to_save"
    _assert_merged(checkpoint, merged)
    assert checkpoint.consumed


@pytest.mark.parametrize("case", ["dora", "gpt2_dora", "embedding", "gpt2", "token_rows", "convolution"])
def test_slices_have_the_bits_of_the_whole(tmp_path, case):
    torch.manual_seed(0)
    make, config = CASES[case]
    _saved(tmp_path, make(), **config)
    with FileReader() as reader:
        for source in _opened(tmp_path).table.values():
            whole = source.read(reader, 0, source.spec.numel)
            for start in range(0, source.spec.numel, 211):
                stop = min(start + 211, source.spec.numel)
                with FileReader() as fresh:
                    assert torch.equal(source.read(fresh, start, stop), whole[start:stop])


def test_strength_multiplies_the_scaling(tmp_path):
    torch.manual_seed(0)
    merged = _saved(tmp_path, _llama(), target_modules=["q_proj"], r=4)
    plain, half = open_checkpoint(tmp_path / "base"), _opened(tmp_path, weight=0.5)
    name = "model.layers.0.self_attn.q_proj.weight"
    with FileReader() as reader:
        base = _read(plain.table[name], reader)
        torch.testing.assert_close(_read(half.table[name], reader), base + (merged[name] - base) / 2)
    assert plain.weak_id != half.weak_id


def test_base_saved_without_the_head_s_prefix(tmp_path):
    torch.manual_seed(0)
    model = _llama()
    merged = _saved(tmp_path, model, target_modules=ALL, r=4)
    plain = open_checkpoint(tmp_path / "base")
    with FileReader() as reader:
        tensors = {name.removeprefix("model."): _read(source, reader) for name, source in plain.table.items()}
    import safetensors.torch

    safetensors.torch.save_file(tensors, tmp_path / "base" / "model.safetensors")
    _assert_merged(_opened(tmp_path), {name.removeprefix("model."): tensor for name, tensor in merged.items()})


def test_adapter_on_a_tied_head_unties_it(tmp_path):
    torch.manual_seed(0)
    _saved(tmp_path, _llama(tie_word_embeddings=True), target_modules=["lm_head"], r=4)
    checkpoint = _opened(tmp_path)
    assert checkpoint.table["lm_head.weight"].spec.shape == (50, 24)
    assert checkpoint.config_patch["tie_word_embeddings"] is False


def test_two_adapters_are_applied_in_order(tmp_path):
    torch.manual_seed(0)
    _saved(tmp_path, _llama(), target_modules=["q_proj"], r=4, use_dora=True)
    ref = LoraRef(str(tmp_path / "lora"))
    twice = open_checkpoint(ModelRef(str(tmp_path / "base"), loras=(ref, ref)))
    name = "model.layers.0.self_attn.q_proj.weight"
    with FileReader() as reader:
        assert not torch.equal(_read(twice.table[name], reader), _read(_opened(tmp_path).table[name], reader))


def _edit(tmp_path, **changes):
    path = tmp_path / "lora" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_note_when_the_adapter_names_another_base(tmp_path):
    _saved(tmp_path, _llama(), target_modules=["q_proj"], r=4)
    _edit(tmp_path, base_model_name_or_path="org/other")
    assert any("was made for org/other" in note for note in _opened(tmp_path).notes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"peft_type": "IA3"}, CheckpointError, "IA3"),
        ({"target_parameters": ["experts.up"]}, CheckpointError, "bare parameters"),
        ({"alora_invocation_tokens": [1]}, CheckpointError, "activated LoRA"),
        ({"r": 5}, ShapeMismatch, "rank 5"),
        ({"r": "4"}, CheckpointError, "`r` is not usable"),
        ({"lora_alpha": float("nan")}, CheckpointError, "`lora_alpha` is not usable"),
        ({"lora_alpha": 10**400}, CheckpointError, "`lora_alpha` is not usable"),
        ({"rank_pattern": {"(a+)+$": 3}}, CheckpointError, "too complex"),
        ({"rank_pattern": {"(": 3}}, CheckpointError, "not usable"),
        ({"use_dora": True}, MissingTensor, "no magnitudes"),
    ],
)
def test_configs_that_cannot_be_honoured_are_refused_by_name(tmp_path, changes, error, message):
    _saved(tmp_path, _llama(), target_modules=["q_proj"], r=4)
    _edit(tmp_path, **changes)
    with pytest.raises(error, match=message):
        _opened(tmp_path)


def test_adapter_of_another_model(tmp_path):
    _saved(tmp_path, _llama(), target_modules=["q_proj"], r=4)
    _gpt2().save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "config.json").unlink()
    with pytest.raises(MissingTensor, match="made for this model"):
        _opened(tmp_path)


def test_folder_without_an_adapter(tmp_path):
    _llama().save_pretrained(tmp_path / "base")
    (tmp_path / "lora").mkdir()
    with pytest.raises(NotFound, match="no adapter"):
        _opened(tmp_path)
