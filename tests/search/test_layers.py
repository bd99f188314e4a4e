"""Data-flow space: paths, scales, the live stack and the recipe that makes the same model."""

from __future__ import annotations

import types
from dataclasses import replace

import pytest
import torch

from solera.app.live import merge_tensors
from solera.app.swapping import load_into
from solera.errors import BadParameter, PlanError
from solera.recipe import parse, to_yaml
from solera.search.layers import Hop, Layers, outputs_of
from solera.search.stacking import fitted
from solera.types import ModelRef

pytest.importorskip("transformers")

IDS = torch.arange(8).reshape(1, 8)


@pytest.fixture
def pair(zoo):
    """Two Llamas of four layers, far apart."""
    folders = zoo(experts=2, scale=0.5)
    return tuple(ModelRef(str(folders[name])) for name in ("e0", "e1"))


@pytest.fixture
def ground(pair):
    from transformers import AutoModelForCausalLM

    module = AutoModelForCausalLM.from_pretrained(pair[0].path).eval()
    return types.SimpleNamespace(module=module, config={}, tasks={})


def logits(module):
    with torch.no_grad():
        return module(input_ids=IDS, use_cache=False).logits


def assert_near(made, wanted):
    torch.testing.assert_close(made, wanted, rtol=0, atol=2e-4 * float(wanted.abs().max()))


def alone(module, ref):
    made = fitted(module, module.config.num_hidden_layers)
    load_into(made, merge_tensors(parse(f"{{method: linear, models: ['{ref.path}']}}")))
    return logits(made)


def test_the_path_of_the_paper(zoo):
    """M = 2, r = 2, slots A1 B1 A1 B1, I = (1, -1, -1, 2): A1 then B1, whose input is scaled by W[A1, B1]."""
    folders = zoo(experts=2, layers=1)
    problem = Layers(tuple(ModelRef(str(folders[name])) for name in ("e0", "e1")), repeats=2, ends=False)
    assert problem.slots == ((0, 0), (1, 0), (0, 0), (1, 0))
    scales = (0.6, 0.7, 0.8, 0.9)  # A1-A1, A1-B1, B1-A1, B1-B1
    assert problem.path((1.0, -1.0, -1.0, 1.0, *scales)) == (Hop(0, 0), Hop(1, 0, 0.7))
    assert len(problem.space) == 4 + 4
    with pytest.raises(BadParameter, match="No layer"):
        problem.path((0.0, -1.0, -1.0, 0.0, *scales))


def test_the_start_is_the_first_model(pair, ground):
    for scales in ("none", "layer", "matrix"):
        problem = Layers(pair, repeats=2, scales=scales)
        start = problem.space.start
        assert problem.path(start) == tuple(Hop(0, layer) for layer in range(4))
        torch.testing.assert_close(logits(problem.module(start, ground, 1)), alone(ground.module, pair[0]))


@pytest.mark.parametrize("scales", ["none", "layer", "matrix"])
def test_a_recipe_makes_what_was_scored(pair, ground, scales):
    problem = Layers(pair, repeats=2, scales=scales)
    draw = torch.Generator().manual_seed(4)
    for _ in range(2):
        genome = problem.space.at(torch.rand(len(problem.space), generator=draw).tolist())
        live = logits(problem.module(genome, ground, 1))
        recipe = parse(to_yaml(problem.recipe(genome)))
        made = fitted(ground.module, len(problem.path(genome)))
        load_into(made, merge_tensors(recipe))
        assert_near(logits(made), live)
    torch.testing.assert_close(logits(ground.module), alone(ground.module, pair[0]))  # the ground's own stays


def test_ends_are_forced(pair):
    problem = Layers(pair, scales="none")
    only = tuple(1.0 if layer == (1, 2) else -1.0 for layer in problem.slots)
    assert problem.path(only) == (Hop(0, 0), Hop(1, 2), Hop(0, 3))
    assert replace(problem, ends=False).path(only) == (Hop(1, 2),)


def test_a_repeated_layer_shares_its_weights(pair, ground):
    problem = Layers(pair[:1], repeats=2, scales="layer")
    genome = tuple([1.0, 1.0, 1.0, 1.0] * 2 + [1.2] * 4)
    stacked = problem.module(genome, ground, 1)
    assert stacked.config.num_hidden_layers == 8
    seen = {value.data_ptr() for name, value in stacked.named_parameters(remove_duplicate=False) if "up_proj" in name}
    assert len(seen) == 4
    assert [layer.self_attn.layer_idx for layer in stacked.model.layers] == list(range(8))


def test_paths_run_with_a_cache(pair, ground):
    problem = Layers(pair[:1], repeats=2, scales="layer")
    stacked = problem.module(tuple([1.0] * 8 + [1.1] * 4), ground, 1)
    with torch.no_grad():
        first = stacked(input_ids=IDS[:, :5], use_cache=True)
        rest = stacked(input_ids=IDS[:, 5:], past_key_values=first.past_key_values, use_cache=True).logits
    assert_near(rest, logits(stacked)[:, 5:])


def test_refusals(pair, zoo, tmp_path):
    from solera.testing.models import build

    other = build("bert", tmp_path / "bert")
    with pytest.raises(PlanError, match="do not fit"):
        Layers((pair[0], ModelRef(str(other))))
    with pytest.raises(PlanError, match="--scales none"):
        Layers((ModelRef(str(other)),))
    assert len(Layers((ModelRef(str(other)),), scales="none").space) == 4
    with pytest.raises(BadParameter, match="--repeats"):
        Layers(pair, repeats=0)
    with pytest.raises(BadParameter, match="reach"):
        Layers(pair, reach=1.0)


def test_outputs_by_roles(pair):
    assert set(outputs_of(Layers(pair, scales="none")._table(0))) == {".self_attn.o_proj.", ".mlp.down_proj."}
