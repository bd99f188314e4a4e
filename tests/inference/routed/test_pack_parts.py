"""Groups of a batch, places in modules, the router, features."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from transformers.modeling_outputs import ImageClassifierOutput

from solera.checkpoints import FileReader, open_checkpoint
from solera.errors import BadParameter, CheckpointError
from solera.inference.routed.grouping import Group, groups_of, labelled, rows_of, together
from solera.inference.routed.places import places_of, put
from solera.inference.routed.routing import Router, features_of
from solera.inference.routed.training import Lessons, train_router
from solera.learn.statistics.loading import load_model
from solera.types import ModelRef

from .inputs import texts


def test_groups_cover_every_row_once():
    weights = torch.tensor([[1.0, 0.0], [0.3, 0.7], [1.0, 0.0], [0.0, 1.0]])
    groups = groups_of(weights)
    assert sorted(row for group in groups for row in group.rows) == [0, 1, 2, 3]
    for group in groups:
        assert all(weights[row].tolist() == pytest.approx(group.weights) for row in group.rows)


def test_what_does_not_count_inputs_is_handed_on():
    inputs = {
        "ids": torch.arange(6).reshape(3, 2),
        "one": torch.tensor(5),
        "flag": True,
        "cache_position": torch.arange(3),
    }
    found = rows_of(inputs, 3, (2, 0))
    assert found["ids"].tolist() == [[4, 5], [0, 1]]
    assert found["flag"] is True
    assert found["one"] == 5
    assert found["cache_position"].tolist() == [0, 1, 2]


def test_heads_of_other_widths_are_filled_up():
    groups = [Group((1.0, 0.0), (1,)), Group((0.0, 1.0), (0, 2))]
    outputs = [ImageClassifierOutput(logits=torch.ones(1, 2)), ImageClassifierOutput(logits=torch.zeros(2, 3))]
    found = together(outputs, groups, [1, 2])
    assert found.logits.tolist() == [[0, 0, 0], [1, 1, float("-inf")], [0, 0, 0]]
    assert isinstance(found, ImageClassifierOutput)


def test_a_number_for_each_input_goes_back_to_its_place():
    groups = [Group((1.0, 0.0), (1,)), Group((0.0, 1.0), (0, 2))]
    assert together([torch.tensor([2]), torch.tensor([1, 3])], groups, [1, 2]).tolist() == [1, 2, 3]


def test_labels_that_are_judged():
    labels = torch.tensor([[1, -100, 3], [-100, -100, 2]])
    assert labelled({"labels": labels}, shifted=True) == 2
    assert labelled({"labels": labels}, shifted=False) == 3
    assert labelled({"labels": torch.tensor([1, 2])}, shifted=False) == 2
    assert labelled({}, shifted=False) == 1


@pytest.mark.parametrize("architecture", ["vit", "gpt2", "mixtral", "phi3"])
def test_every_tensor_of_the_files_has_its_place(family, architecture):
    folder = family(architecture)["base"]
    module, places = load_model(ModelRef(str(folder))), None
    places = places_of(module)
    other = open_checkpoint(family(architecture)["one"])
    with FileReader() as reader:
        for name, source in other.table.items():
            put(module, places[name], source.read(reader, 0, source.spec.numel).reshape(source.spec.shape))
    want = load_model(ModelRef(str(family(architecture)["one"]))).state_dict()
    for name, value in module.state_dict().items():
        assert torch.equal(value, want[name]), name


def test_a_router_depends_on_its_seed_alone():
    draw = torch.Generator().manual_seed(0)
    features = [torch.randn(20, 4, generator=draw) + 3 * k for k in range(3)]
    first, accuracy = train_router(features, Lessons(steps=40, seed=1))
    torch.manual_seed(99)
    second, _ = train_router(features, Lessons(steps=40, seed=1))
    assert accuracy >= 0.9
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_tasks_that_look_alike_share_the_weight():
    rows = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    router, _ = train_router([rows, rows], Lessons(steps=200))
    assert_close(router.weights(rows[:20]), torch.full((20, 2), 0.5), rtol=0, atol=0.05)


def test_features_that_never_varied_do_not_outvote_the_rest():
    rows = [torch.randn(20, 4, generator=torch.Generator().manual_seed(k)) + 3 * k for k in range(2)]
    rows = [torch.cat([each, torch.ones(20, 1)], 1) for each in rows]
    router, _ = train_router(rows)
    moved = torch.cat([rows[0][:, :4], torch.full((20, 1), 1.001)], 1)
    assert_close(router.weights(moved), router.weights(rows[0]), rtol=0, atol=0.05)


def test_two_examples_of_one_task_are_enough():
    router, _ = train_router([torch.randn(2, 3, generator=torch.Generator().manual_seed(0))])
    assert router.weights(torch.ones(1, 3)).tolist() == [[1.0]]


def test_too_few_examples():
    with pytest.raises(BadParameter, match="too few"):
        train_router([torch.zeros(1, 2), torch.zeros(5, 2)])


def test_a_row_does_not_see_the_others():
    router = Router(4, 8, 2)
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert_close(router.weights(rows)[2:3], router.weights(rows[2:3]))


@pytest.mark.parametrize("side", ["left", "right"])
def test_features_do_not_see_padding(family, side):
    module = load_model(ModelRef(str(family("llama")["base"])))
    ids = texts(0, 2)
    padding = torch.zeros(2, 3, dtype=torch.long)
    pair = (padding, ids) if side == "left" else (ids, padding)
    ones = (torch.zeros_like(padding), torch.ones_like(ids))
    mask = torch.cat(ones if side == "left" else ones[::-1], 1)
    padded = features_of(module, {"input_ids": torch.cat(pair, 1), "attention_mask": mask})
    assert_close(padded, features_of(module, {"input_ids": ids}), rtol=1e-5, atol=1e-5)


def test_an_earlier_layer_can_be_seen(family):
    module = load_model(ModelRef(str(family("llama")["base"])))
    first = features_of(module, {"input_ids": texts(0, 2)}, 0)
    assert_close(first, module.get_input_embeddings()(texts(0, 2)).mean(1))
    with pytest.raises(BadParameter, match="no such layer"):
        features_of(module, {"input_ids": texts(0, 2)}, 9)


def test_models_with_a_decoder_of_their_own_have_no_features(family):
    module = load_model(ModelRef(str(family("t5")["base"])))
    with pytest.raises(CheckpointError, match="not supported by routers"):
        features_of(module, {"input_ids": texts(0, 2)})
