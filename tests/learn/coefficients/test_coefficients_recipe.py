"""The recipe is the learnt model: bit by bit, and in what it predicts."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from solera.app.live import merge_tensors
from solera.learn.coefficients import learn, read
from solera.learn.coefficients.learning import _Learner
from solera.learn.coefficients.live import ask
from solera.learn.statistics.loading import load_model
from solera.recipe import load
from solera.recipe.values import Merge, Operand, Output, Recipe
from solera.testing.models import build, expert_of
from solera.types import DType, ModelRef

from .conftest import pictures, swapped, texts


def learnt_weights(job, tmp_path):
    """The live weights at the coefficients of a finished learning, and the module that they belong to."""
    from dataclasses import replace

    opened = _Learner.opened(replace(job, out=tmp_path / "again"), force=False)
    rows = list(read(job.out).coefficients.values())
    return opened.live, opened.live.weights(torch.tensor(rows))


@pytest.mark.parametrize(
    ("name", "granularity"), [("vit", "task"), ("llama", "layer"), ("gpt2", "tensor"), ("mixtral", "tensor")]
)
def test_the_recipe_gives_the_learnt_model_to_the_bit(job_of, tmp_path, name, granularity):
    job = job_of(name, granularity=granularity)
    result = learn(job)
    live, weights = learnt_weights(job, tmp_path)
    merged = merge_tensors(result.recipe_path, threads=1)
    module = swapped(job.recipe.merge.base, merged)
    state = module.state_dict()
    assert weights
    for key, value in weights.items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)
    batch = pictures(9) if name == "vit" else texts(9)
    with torch.no_grad():
        live_logits = functional_call(live.model, weights, kwargs=dict(batch.inputs)).logits
        torch.testing.assert_close(live_logits, ask(module, batch).logits, rtol=0, atol=0)


@pytest.mark.parametrize("method", ["adamerging_plus_plus", "expert_merging"])
def test_so_it_does_with_prepared_task_vectors_and_frozen_tensors(job_of, tmp_path, method):
    job = job_of("llama", method)
    result = learn(job)
    _, weights = learnt_weights(job, tmp_path)
    merged = merge_tensors(result.recipe_path, threads=1)
    state = swapped(job.recipe.merge.base, merged).state_dict()
    for key, value in weights.items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)


def test_frozen_tensors_are_the_base_s(job_of):
    job = job_of("llama", "expert_merging")
    merged = merge_tensors(learn(job).recipe_path, threads=1)
    base = load_model(job.recipe.merge.base).state_dict()
    for key in ("model.norm.weight", "model.embed_tokens.weight"):
        torch.testing.assert_close(merged[key], base[key], rtol=0, atol=0)
    assert not any("norm" in name or "embed" in name for name in read(job.out).coefficients)


def test_learning_sees_weights_as_they_are_written(job_of, tmp_path):
    """Models in bfloat16 are written in bfloat16, and that is what predictions are learnt with."""
    paths = [build("llama", tmp_path / "base", dtype="bfloat16", layers=2)]
    paths += [expert_of(paths[0], tmp_path / f"e{k}", seed=k, scale=0.05) for k in (1, 2)]
    models = tuple(Operand(ModelRef(str(path))) for path in paths[1:])
    job = job_of("llama", recipe=Recipe(Merge("task_arithmetic", models, base=ModelRef(str(paths[0])))))
    result = learn(job)
    _, weights = learnt_weights(job, tmp_path)
    merged = merge_tensors(result.recipe_path, threads=1)
    assert {value.dtype for value in merged.values()} == {torch.bfloat16}
    state = swapped(job.recipe.merge.base, merged).state_dict()
    for key, value in weights.items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)


def test_output_types_and_tied_weights(job_of, tmp_path):
    """A tied head has one coefficient, that of the embedding; the output's type is rounded to."""
    paths = [build("llama", tmp_path / "base", tied=True, layers=2)]
    paths += [expert_of(paths[0], tmp_path / f"e{k}", seed=k, scale=0.05) for k in (1, 2)]
    models = tuple(Operand(ModelRef(str(path))) for path in paths[1:])
    recipe = Recipe(Merge("task_arithmetic", models, base=ModelRef(str(paths[0]))), output=Output(dtype=DType.F16))
    job = job_of("llama", recipe=recipe)
    result = learn(job)
    names = list(read(job.out).coefficients)
    assert sum("embed" in name or "lm_head" in name for name in names) == 1
    _, weights = learnt_weights(job, tmp_path)
    merged = merge_tensors(result.recipe_path, threads=1)
    state = swapped(job.recipe.merge.base, merged).state_dict()
    for key, value in weights.items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)


def test_layers_and_the_rest_are_rules_that_a_reader_understands(job_of):
    job = job_of("vit", granularity="layer")
    result = learn(job)
    assert list(read(job.out).coefficients) == ["outside the layers", "layer 0", "layer 1"]
    rules = load(result.recipe_path).merge.rules
    assert [rule.match.layers for rule in rules] == [(0, 0), (1, 1)]


def test_an_encoder_and_a_decoder_have_layers_of_their_own(job_of):
    job = job_of("t5", granularity="layer", data=None)
    from dataclasses import replace

    from solera.learn.coefficients import TaskData

    data = [TaskData(f"{k}", (replace(texts(k), labels=texts(k).inputs["input_ids"]),), k) for k in range(2)]
    result = learn(replace(job, data=data))
    names = list(read(job.out).coefficients)
    assert {"encoder layer 0", "decoder layer 1"} <= set(names)
    assert len({rule.match.module for rule in load(result.recipe_path).merge.rules}) == 2
