"""Cases that the contracts must carry: adapters, vocabularies, layers, experts, fp8, rules."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch
from tests.conftest import HIDDEN, llama_config, recipe, ref, tensors, write_model

import solera
from solera.recipe.values import Match, Merge, Operand, Output, Recipe, Rule, Slice, TokenizerSpec
from solera.types import DType, LoraRef, ModelRef


def write_lora(folder: Path, base: Path, *, seed: int, rank: int = 2) -> Path:
    """A PEFT adapter on the attention's q and the MLP's down projections."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    factors = {}
    for name, value in tensors(base).items():
        if name.endswith(("q_proj.weight", "down_proj.weight")):
            key = "base_model.model." + name.removesuffix(".weight")
            factors[key + ".lora_A.weight"] = rng.standard_normal((rank, value.shape[1])).astype(np.float32)
            factors[key + ".lora_B.weight"] = rng.standard_normal((value.shape[0], rank)).astype(np.float32) * 0.1
    save_file(factors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": 4,
        "target_modules": ["q_proj", "down_proj"],
        "base_model_name_or_path": str(base),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_whole_model_ties_over_adapters_has_the_same_bits_for_every_slicing(zoo, tmp_path):
    z = zoo(vocab=6000)
    models = []
    for k in range(2):
        write_lora(tmp_path / f"lora{k}", z["base"], seed=k)
        models.append(Operand(ModelRef(str(z["base"]), None, (LoraRef(str(tmp_path / f"lora{k}")),))))
    made = Recipe(Merge("ties", tuple(models), base=ref(z["base"]), parameters={"density": 0.4}, variant="official"))
    runs = [
        solera.merge(made, tmp_path / f"o{i}", threads=t, memory=m)
        for i, (t, m) in enumerate([(1, None), (2, 80 << 20), (2, 100 << 20)])
    ]
    assert len({r.digest for r in runs}) == 1
    out, base = tensors(tmp_path / "o0"), tensors(z["base"])
    assert (out["model.norm.weight"] == base["model.norm.weight"]).all()
    assert not (out["model.layers.0.mlp.down_proj.weight"] == base["model.layers.0.mlp.down_proj.weight"]).all()


def write_tokenizer(folder: Path, tokens: list[str]) -> None:
    """A word-level tokenizer with these tokens."""
    vocab = {t: i for i, t in enumerate(tokens)}
    data = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": tokens[0]},
    }
    (folder / "tokenizer.json").write_text(json.dumps(data))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


def test_a_union_feeds_dare_deltas_of_zero(zoo, tmp_path):
    """A token that a model lacks adds exactly nothing: with every delta kept or dropped the row is the base's."""
    z = zoo(experts=2)
    names = {
        "base": [f"t{i}" for i in range(40)],
        "e0": [f"t{39 - i}" for i in range(40)],
        "e1": [f"t{i + 20}" for i in range(40)],
    }
    for key, tokens in names.items():
        write_tokenizer(z[key], tokens)
    made = replace(recipe("dare_ties", [z["e1"]], base=z["base"], density=0.5), tokenizer=TokenizerSpec("union"))
    solera.merge(made, tmp_path / "out")
    out, base, e1 = tensors(tmp_path / "out"), tensors(z["base"]), tensors(z["e1"])
    rows = out["model.embed_tokens.weight"]
    assert rows.shape[0] == 60
    assert (rows[:20] == base["model.embed_tokens.weight"][:20]).all()  # the expert lacks t0..t19
    assert (rows[40:60] == e1["model.embed_tokens.weight"][20:]).all()  # the base lacks t40..t59
    assert not (rows[20:40] == base["model.embed_tokens.weight"][20:]).all()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == 60


def test_layers_are_renumbered_and_lists_follow(zoo, tmp_path):
    z = zoo(experts=1)
    for key in ("base", "e0"):
        config = {**llama_config(), "layer_types": ["a", "b", "c", "d"]}
        write_model(z[key], tensors(z[key]), config)
    pieces = (
        Slice((Operand(ref(z["base"]), layers=(0, 3)),)),
        Slice((Operand(ref(z["e0"]), layers=(1, 4)),)),
    )
    solera.merge(Recipe(Merge("passthrough", slices=pieces)), tmp_path / "out")
    out, base, e0 = tensors(tmp_path / "out"), tensors(z["base"]), tensors(z["e0"])
    name = "model.layers.{}.mlp.up_proj.weight"
    for new, (source, old) in enumerate([(base, 0), (base, 1), (base, 2), (e0, 1), (e0, 2), (e0, 3)]):
        assert (out[name.format(new)] == source[name.format(old)]).all()
    assert (out["model.embed_tokens.weight"] == base["model.embed_tokens.weight"]).all()
    assert (out["lm_head.weight"] == e0["lm_head.weight"]).all()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["num_hidden_layers"] == 6
    assert config["layer_types"] == ["a", "b", "c", "b", "c", "d"]


def test_tied_and_untied_heads_give_untied(zoo, tmp_path):
    z = zoo(experts=1)
    tied = {n: v for n, v in tensors(z["base"]).items() if n != "lm_head.weight"}
    write_model(tmp_path / "tied", tied, llama_config(tied=True))
    for order in (["tied", "e0"], ["e0", "tied"]):
        out = tmp_path / "-".join(order)
        solera.merge(recipe("linear", [tmp_path / o for o in order]), out)
        merged = tensors(out)
        want = (tied["model.embed_tokens.weight"] + tensors(z["e0"])["lm_head.weight"]) / 2
        np.testing.assert_allclose(merged["lm_head.weight"], want, rtol=1e-6)
        assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False


def test_tied_models_are_merged_once_and_stay_tied(zoo, tmp_path):
    z = zoo(experts=2, tied=True)
    report = solera.merge(recipe("dare_linear", [z["e0"], z["e1"]], base=z["base"], density=0.5), tmp_path / "out")
    assert "lm_head.weight" not in tensors(tmp_path / "out")
    assert report.tensors == {"merged": 38}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is True


EXPERTS = 3


def moe(
    folder: Path, rng: np.random.Generator, *, fused: bool, base: dict[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """A Qwen3-MoE folder with two layers; returns its leaves with per-expert names."""
    shapes = {"model.embed_tokens.weight": (40, HIDDEN), "model.norm.weight": (HIDDEN,), "lm_head.weight": (40, HIDDEN)}
    for i in range(2):
        p = f"model.layers.{i}."
        shapes |= {
            p + "input_layernorm.weight": (HIDDEN,),
            p + "post_attention_layernorm.weight": (HIDDEN,),
            p + "mlp.gate.weight": (EXPERTS, HIDDEN),
        }
        shapes |= {p + f"self_attn.{n}_proj.weight": (HIDDEN, HIDDEN) for n in "qkvo"}
        for e in range(EXPERTS):
            shapes |= {p + f"mlp.experts.{e}.{n}_proj.weight": (8, HIDDEN) for n in ("gate", "up")}
            shapes[p + f"mlp.experts.{e}.down_proj.weight"] = (HIDDEN, 8)
    leaves = {
        n: (rng.standard_normal(s) if base is None else base[n] + 0.1 * rng.standard_normal(s)).astype(np.float32)
        for n, s in shapes.items()
    }
    stored = dict(leaves)
    if fused:
        for i in range(2):
            p = f"model.layers.{i}.mlp.experts."
            gate_up = [
                np.concatenate([stored.pop(p + f"{e}.gate_proj.weight"), stored.pop(p + f"{e}.up_proj.weight")])
                for e in range(EXPERTS)
            ]
            stored[p + "gate_up_proj"] = np.stack(gate_up)
            stored[p + "down_proj"] = np.stack([stored.pop(p + f"{e}.down_proj.weight") for e in range(EXPERTS)])
    config = {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": HIDDEN, "num_hidden_layers": 2, "num_experts": EXPERTS,
        "moe_intermediate_size": 8, "vocab_size": 40, "num_attention_heads": 4, "num_key_value_heads": 4, "tie_word_embeddings": False,
    }  # fmt: skip
    write_model(folder, stored, config)
    return leaves


@pytest.mark.parametrize("base_fused", [True, False])
def test_experts_merge_one_by_one_in_the_layout_of_the_base(tmp_path, base_fused):
    rng = np.random.default_rng(0)
    base = moe(tmp_path / "base", rng, fused=base_fused)
    one = moe(tmp_path / "one", rng, fused=False, base=base)
    two = moe(tmp_path / "two", rng, fused=True, base=base)
    made = recipe("ties", [tmp_path / "one", tmp_path / "two"], base=tmp_path / "base", density=0.5, variant="mergekit")
    solera.merge(made, tmp_path / "out")
    out = tensors(tmp_path / "out")
    assert out.keys() == tensors(tmp_path / "base").keys()
    name = "model.layers.1.mlp.experts.2.up_proj.weight"
    deltas = np.stack([one[name] - base[name], two[name] - base[name]])
    cut = np.sort(np.abs(deltas).reshape(2, -1), axis=1)[:, -deltas[0].size // 2]
    kept = np.where(np.abs(deltas) >= cut[:, None, None], deltas, 0)
    sign = np.where(kept.sum(0) >= 0, 1, -1)
    agree = (np.sign(kept) == sign) & (kept != 0)
    want = base[name] + (kept * agree).sum(0) / np.maximum(agree.sum(0), 1)
    got = out["model.layers.1.mlp.experts.gate_up_proj"][2, 8:] if base_fused else out[name]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_block_scaled_fp8_is_merged_and_written_as_bfloat16(tmp_path, zoo):
    z = zoo(experts=1, hidden=HIDDEN)
    plain = {n: torch.from_numpy(v) for n, v in tensors(z["base"]).items()}
    stored, wide = {}, {}
    for name, value in plain.items():
        wide[name] = value
        stored[name] = value.to(torch.bfloat16)
        if name.endswith("proj.weight"):
            scale = value.abs().max() / 448
            stored[name] = (value / scale).to(torch.float8_e4m3fn)
            stored[name.replace(".weight", ".weight_scale_inv")] = scale.reshape(1, 1)
            wide[name] = stored[name].to(torch.float32) * scale
        else:
            wide[name] = stored[name].to(torch.float32)
    folder = tmp_path / "fp8"
    folder.mkdir()
    save_torch(stored, folder / "model.safetensors", metadata={"format": "pt"})
    quantised = {
        **llama_config(),
        "dtype": "bfloat16",
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    }
    (folder / "config.json").write_text(json.dumps(quantised))
    report = solera.merge(recipe("linear", [folder, z["e0"]]), tmp_path / "out")
    out, e0 = load_torch(tmp_path / "out" / "model.safetensors"), load_torch(z["e0"] / "model.safetensors")
    assert out.keys() == plain.keys()
    for name, value in out.items():
        assert value.dtype is torch.bfloat16
        torch.testing.assert_close(value, ((wide[name] + e0[name]) / 2).to(torch.bfloat16), rtol=0, atol=0)
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text())
    assert any(row[2] == "consumed" for row in report.left_out)


def test_rules_switch_methods_while_another_needs_the_whole_model(zoo, tmp_path):
    z = zoo()
    whole = recipe("ties", [z["e0"], z["e1"]], base=z["base"], variant="official", density=0.3)
    norms = Rule(Match(role=("norm",)), method="linear")
    low = Rule(Match(role=("mlp",), layers=(0, 1)), parameters={"density": 0.6})
    keep = Rule(Match(name="lm_head*"), method="copy")
    made = replace(whole, merge=replace(whole.merge, rules=(norms, low, keep)))
    plan = solera.plan(made)
    assert [len(s.tasks) for s in plan.stages] == [
        23,
        23,
        6,
        6,
    ]  # trim and elect over the rest, and the six MLP matrices of layers 0 and 1
    solera.merge(made, tmp_path / "out")
    out, base = tensors(tmp_path / "out"), tensors(z["base"])
    e0, e1 = tensors(z["e0"]), tensors(z["e1"])
    np.testing.assert_allclose(
        out["model.norm.weight"], (e0["model.norm.weight"] + e1["model.norm.weight"]) / 2, rtol=1e-6
    )
    assert (out["lm_head.weight"] == base["lm_head.weight"]).all()


def test_output_type_is_asked_for_or_the_base_s(zoo, tmp_path):
    z = zoo()
    made = recipe("linear", [z["e0"], z["e1"]])
    solera.merge(replace(made, output=Output(dtype=DType.BF16)), tmp_path / "out")
    out = load_torch(tmp_path / "out" / "model.safetensors")
    e0, e1 = (load_torch(z[k] / "model.safetensors") for k in ("e0", "e1"))
    for name, value in out.items():
        torch.testing.assert_close(value, ((e0[name] + e1[name]) / 2).to(torch.bfloat16), rtol=0, atol=0)


def test_missing_and_misshapen_tensors_are_reported_together(zoo, tmp_path):
    z = zoo()
    bad = tensors(z["e1"])
    del bad["model.norm.weight"]
    bad["model.layers.1.mlp.up_proj.weight"] = bad["model.layers.1.mlp.up_proj.weight"][:4]
    write_model(z["e1"], bad, llama_config())
    with pytest.raises(solera.errors.PlanError) as caught:
        solera.plan(recipe("linear", [z["e0"], z["e1"]]))
    assert "model.norm.weight is missing" in str(caught.value)
    assert "up_proj.weight has different shapes" in str(caught.value)
    assert "method: copy" in str(caught.value)


def test_a_rule_that_copies_heals_other_shapes(zoo, tmp_path):
    z = zoo()
    bad = tensors(z["e1"])
    bad["model.norm.weight"] = bad["model.norm.weight"][:4]
    write_model(z["e1"], bad, llama_config())
    made = recipe("linear", [z["e0"], z["e1"]])
    rules = (Rule(Match(name="model.norm.weight"), method="copy"),)
    solera.merge(replace(made, merge=replace(made.merge, rules=rules)), tmp_path / "out")
    assert tensors(tmp_path / "out")["model.norm.weight"].tolist() == tensors(z["e0"])["model.norm.weight"].tolist()


def test_another_architecture_is_refused(zoo, tmp_path):
    z = zoo()
    write_model(
        tmp_path / "gpt2",
        {"wte.weight": np.zeros((4, 4), np.float32)},
        {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]},
    )
    with pytest.raises(solera.errors.PlanError, match="cannot be merged"):
        solera.plan(recipe("linear", [z["e0"], tmp_path / "gpt2"]))


def test_pruned_models_with_layers_of_their_own_shape_merge(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {f"model.layers.{i}.mlp.up_proj.weight": (4 + i, 8) for i in range(4)} | {
        "model.embed_tokens.weight": (10, 8)
    }
    for key in ("a", "b"):
        write_model(
            tmp_path / key, {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}, llama_config()
        )
    solera.merge(recipe("linear", [tmp_path / "a", tmp_path / "b"]), tmp_path / "out")
    a, b = tensors(tmp_path / "a"), load_file(tmp_path / "b" / "model.safetensors")
    for name, value in tensors(tmp_path / "out").items():
        np.testing.assert_allclose(value, (a[name] + b[name]) / 2, rtol=1e-6, atol=1e-7)


def test_slices_that_do_not_fit_are_refused(zoo):
    z = zoo()
    for ranges in [((0, 9),), ((0, 2), (0, 3))]:
        piece = Slice(tuple(Operand(ref(z[f"e{i}"]), layers=r) for i, r in enumerate(ranges)))
        with pytest.raises(solera.errors.PlanError, match="slice 1"):
            solera.plan(Recipe(Merge("linear", slices=(piece,))))


def test_a_rule_that_matches_nothing_is_said(zoo):
    z = zoo()
    plain = recipe("linear", [z["e0"], z["e1"]])
    made = replace(plain, merge=replace(plain.merge, rules=(Rule(Match(role=("nrom",)), method="copy"),)))
    assert any("rule 1 matches no tensor" in w and "norm" in w for w in solera.plan(made).warnings)


def test_a_population_can_be_every_tensor_for_itself(zoo, tmp_path):
    z = zoo()
    whole = recipe("ties", [z["e0"], z["e1"]], base=z["base"], density=0.3)
    solera.merge(replace(whole, population="tensor"), tmp_path / "each")
    solera.merge(recipe("ties", [z["e0"], z["e1"]], base=z["base"], density=0.3, scope="tensor"), tmp_path / "scope")
    solera.merge(whole, tmp_path / "node")
    each, scope, node = (tensors(tmp_path / name) for name in ("each", "scope", "node"))
    assert all((each[n] == scope[n]).all() for n in each)
    assert not all((each[n] == node[n]).all() for n in each)
