"""Layers really merged: from data to a recipe, from the recipe to a model that transformers loads unchanged."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from solera.app import merge, merge_tensors
from solera.app.depth import dropped_of, fold_layers, recipe_of
from solera.app.slicing import sliced
from solera.checkpoints.statistics import open_statistics
from solera.errors import BadParameter, NotFound, PlanError
from solera.learn.statistics import Batch, collect, measure
from solera.learn.statistics.loading import load_model
from solera.methods.depth.folding import Fold
from solera.methods.depth.mka import mka
from solera.ops.contract import Facts, as_stack, run_whole
from solera.recipe import parse, to_yaml
from solera.recipe.values import Operand
from solera.search.layers import Hop
from solera.search.layers import recipe_of as path_recipe
from solera.testing.models import build
from solera.types import ModelRef

pytest.importorskip("transformers")
IDS = torch.arange(1, 9).reshape(1, 8)


def texts(rows=12, length=6, seed=0):
    ids = torch.randint(1, 60, (rows, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[::2, -2:] = 0
    return [Batch({"input_ids": ids[k : k + 5], "attention_mask": mask[k : k + 5]}) for k in range(0, rows, 5)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Llama of eight layers."""
    return build("llama", tmp_path_factory.mktemp("depth") / "model", layers=8)


@pytest.fixture(scope="module")
def measured(model, tmp_path_factory):
    """What its layers give."""
    folder = tmp_path_factory.mktemp("measured")
    measure(ModelRef(str(model)), texts(), ["layer_output"], folder, data="texts")
    return folder


def logits(folder):
    with torch.no_grad():
        return load_model(ModelRef(str(folder)))(input_ids=IDS).logits


def test_the_statistic_is_the_mean_over_real_tokens(model):
    live = load_model(ModelRef(str(model)))
    found = collect(live, texts(), ["layer_output"])["layer_output"]
    assert list(found.tensors) == [f"model.layers.{k}" for k in range(8)]
    assert not any(module._forward_hooks for module in live.modules())
    batch = texts()[0]
    with torch.no_grad():
        hidden = live(**batch.inputs, output_hidden_states=True).hidden_states
    mask = batch.inputs["attention_mask"][..., None]
    for layer in (0, 6):  # hidden_states[k + 1] is what layer k gives; the last one is behind the norm
        want = (hidden[layer + 1] * mask).sum(1) / mask.sum(1)
        torch.testing.assert_close(found.tensors[f"model.layers.{layer}"][:5], want, rtol=1e-5, atol=1e-6)
    assert found.tensors["model.layers.7"].shape == (12, hidden[0].shape[-1])


def test_with_other_kinds_in_one_pass(model):
    live = load_model(ModelRef(str(model)))
    both = collect(live, texts(), ["gram", "layer_output"])
    alone = collect(live, texts(), ["layer_output"])
    for name, tensor in alone["layer_output"].tensors.items():
        assert torch.equal(both["layer_output"].tensors[name], tensor)


@pytest.mark.parametrize("name", ["gpt2", "bert", "qwen2", "mixtral"])
def test_layers_are_found_in_other_architectures(name, tmp_path):
    build(name, tmp_path / name, layers=3)
    found = collect(load_model(ModelRef(str(tmp_path / name))), texts(), ["layer_output"])["layer_output"]
    assert len(found.tensors) == 3
    assert {len(tensor) for tensor in found.tensors.values()} == {12}


def test_ratio_zero_is_the_same_model(model, measured, tmp_path):
    folding = fold_layers(str(model), measured, ratio=0)
    assert len(folding.recipe.merge.slices) == 1
    merge(folding.recipe, tmp_path / "out")
    old, new = load_file(model / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert old.keys() == new.keys()
    assert all(torch.equal(new[name], tensor) for name, tensor in old.items())
    torch.testing.assert_close(logits(tmp_path / "out"), logits(model), rtol=0, atol=0)


def test_weights_are_really_merged(model, measured, tmp_path):
    folding = fold_layers(str(model), measured, remove=3)
    merge(folding.recipe, tmp_path / "out")
    old, new = load_file(model / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_hidden_layers"] == 5
    for place, one in enumerate(folding.folds):
        for part in ("self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj"):
            rows = [old[f"model.layers.{k}.{part}.weight"] * s for k, s in zip(one.layers, one.shares, strict=True)]
            torch.testing.assert_close(new[f"model.layers.{place}.{part}.weight"], sum(rows), rtol=1e-5, atol=1e-7)
        norm = f"model.layers.{one.layers[0]}.input_layernorm.weight"
        assert torch.equal(new[f"model.layers.{place}.input_layernorm.weight"], old[norm])
    for name in ("model.embed_tokens.weight", "model.norm.weight"):
        assert torch.equal(new[name], old[name])
    assert logits(tmp_path / "out").isfinite().all()


def test_a_new_process_loads_it_without_a_missing_or_left_over_key(model, measured, tmp_path):
    merge(fold_layers(str(model), measured, remove=4, pairs="last").recipe, tmp_path / "out")
    code = (
        "import sys, torch; from transformers import AutoModelForCausalLM as M;"
        "m, i = M.from_pretrained(sys.argv[1], output_loading_info=True);"
        "assert not i['missing_keys'] and not i['unexpected_keys'] and not i['mismatched_keys'], i;"
        "m.eval(); out = m.generate(torch.arange(1, 9).reshape(1, 8), min_new_tokens=4, max_new_tokens=4, do_sample=False);"
        "print(m.config.num_hidden_layers, out.shape[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["4", "12"]


def equal_layers(model, tmp_path):
    """The model with layer 3 in the place of layer 4 as well."""
    tensors = load_file(model / "model.safetensors")
    for name in [n for n in tensors if n.startswith("model.layers.4.")]:
        tensors[name] = tensors[name.replace(".4.", ".3.", 1)].clone()
    folder = tmp_path / "equal"
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    for file in model.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_equal_layers_give_themselves(model, tmp_path):
    folder = equal_layers(model, tmp_path)
    alone = [Fold((k,), (1.0,)) for k in range(8)]
    folds = (*alone[:3], Fold((3, 4), (0.62, 0.38)), *alone[5:])
    merged = merge_tensors(recipe_of(ModelRef(str(folder)), folds))
    dropped = merge_tensors(dropped_of(ModelRef(str(folder)), folds))
    assert merged.keys() == dropped.keys()
    for name, tensor in dropped.items():
        torch.testing.assert_close(merged[name], tensor, rtol=1e-6, atol=1e-7)


def test_dropping_is_a_path_of_the_search(model, measured):
    """alpha 1, the recipe that drops, and a path of search layers: one model."""
    ref = ModelRef(str(model))
    folding = fold_layers(ref, measured, remove=3, alpha=1.0)
    path = [Hop(0, one.layers[0]) for one in folding.folds]
    assert path_recipe([ref], path, ()) == folding.dropped
    ways = [merge_tensors(one) for one in (folding.recipe, folding.dropped)]
    assert all(torch.equal(ways[0][name], tensor) for name, tensor in ways[1].items())


def test_the_recipe_is_text(model, measured):
    folding = fold_layers(str(model), measured, remove=3)
    again = merge_tensors(parse(to_yaml(folding.recipe)))
    for name, tensor in merge_tensors(folding.recipe).items():
        assert torch.equal(again[name], tensor)


def test_per_layer_lists_follow_and_keep_kinds_apart(tmp_path):
    build("gemma3_text", tmp_path / "m", layers=8)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    kinds = config["layer_types"]
    ref = ModelRef(str(tmp_path / "m"))
    measure(ref, texts(), ["layer_output"], tmp_path / "s")
    folding = fold_layers(ref, tmp_path / "s", remove=2)
    for one in folding.folds:
        assert len({kinds[layer] for layer in one.layers}) == 1
    merge(folding.recipe, tmp_path / "out")
    made = json.loads((tmp_path / "out" / "config.json").read_text())
    assert made["num_hidden_layers"] == 6
    assert made["layer_types"] == [kinds[one.layers[0]] for one in folding.folds]
    assert logits(tmp_path / "out").isfinite().all()


def test_one_layer_cannot_go(tmp_path):
    build("llama", tmp_path / "one", layers=1)
    ref = ModelRef(str(tmp_path / "one"))
    measure(ref, texts(), ["layer_output"], tmp_path / "s")
    assert len(fold_layers(ref, tmp_path / "s", ratio=0.4).folds) == 1
    with pytest.raises(BadParameter, match="1 of 1"):
        fold_layers(ref, tmp_path / "s", remove=1)


def test_statistics_that_do_not_fit(model, measured, tmp_path):
    with pytest.raises(NotFound, match="no measurements"):
        fold_layers(str(model), tmp_path, ratio=0.25)
    other = build("llama", tmp_path / "other", layers=8, seed=7)
    with pytest.raises(PlanError, match="another model"):
        fold_layers(str(other), measured, ratio=0.25)
    measure(ModelRef(str(model)), texts(), ["activation_norm"], tmp_path / "s")
    with pytest.raises(BadParameter, match="another kind"):
        fold_layers(str(model), tmp_path / "s" / "activation_norm.safetensors", ratio=0.25)
    measure(ModelRef(str(model)), texts(rows=4), ["layer_output"], tmp_path / "few")
    with pytest.raises(BadParameter, match="more examples"):
        fold_layers(str(model), tmp_path / "few", ratio=0.25)
    assert open_statistics(measured / "layer_output.safetensors").manifest.samples == 12


def test_the_method():
    layers = as_stack(torch.tensor([1.0, -2.0]), torch.tensor([3.0, 6.0]))
    facts = Facts(shape=(2,), layer=0, role="mlp.up")
    assert run_whole(mka(weight=(1.0, 3.0)), layers, facts).tolist() == [2.5, 4.0]
    assert run_whole(mka(weight=(1.0, 0.0)), layers, facts).tolist() == [1.0, -2.0]
    norm = Facts(shape=(2,), layer=0, role="norm")
    assert run_whole(mka(weight=(1.0, 3.0)), layers, norm).tolist() == [1.0, -2.0]
    assert run_whole(mka(weight=(1.0, 3.0), norms="average"), layers, norm).tolist() == [2.5, 4.0]
    assert run_whole(mka(weight=(1.0, 3.0)), layers, Facts(shape=(2,), role="head")).tolist() == [1.0, -2.0]
    with pytest.raises(BadParameter, match="zero"):
        mka(weight=(1.0, -1.0))


def test_runs_become_slices():
    a, b = Operand(ModelRef("a")), Operand(ModelRef("a"), {"weight": 0.5})
    recipe = sliced("mka", [((a, 0),), ((a, 1),), ((b, 2), (b, 3)), ((b, 3), (b, 4)), ((a, 7),)])
    ranges = [[one.layers for one in piece.sources] for piece in recipe.merge.slices]
    assert ranges == [[(0, 2)], [(2, 4), (3, 5)], [(7, 8)]]
