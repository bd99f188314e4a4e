"""Every described architecture, in both file layouts: all tensors covered, layers counted, ties as the file shows."""

from __future__ import annotations

import pytest
from arch_models import assert_exact, opened

from solera.arch import compatible, identify
from solera.testing.models import ARCHITECTURES

STACKS = {
    "t5": {"encoder", "decoder"},
    "t5_gated": {"encoder", "decoder"},
    "whisper": {"encoder", "decoder"},
    "clip": {"text", "vision"},
    "llava": {"text", "vision"},
    "gemma3": {"text", "vision"},
    "qwen2_vl": {"text", "vision"},
}
HEADLESS = {"bert_model", "bert_classifier", "vit", "clip"}
TIEABLE = [name for name in ARCHITECTURES if name not in HEADLESS and not name.startswith("t5")]


@pytest.mark.parametrize("memory_layout", [False, True], ids=["published", "memory"])
@pytest.mark.parametrize("name", ARCHITECTURES)
class TestEveryArchitecture:
    def test_leaves_cover_every_tensor_once_and_all_have_a_role(self, name, memory_layout):
        config, specs = opened(name, memory_layout=memory_layout)
        arch = identify(config, specs)
        leaves = arch.leaves(specs, config)
        assert arch.known
        assert arch.notes == ()
        assert_exact(leaves, specs)
        assert [leaf.name for leaf in leaves if leaf.role.endswith("other")] == []

    def test_stacks_count_the_layers(self, name, memory_layout):
        config, specs = opened(name, memory_layout=memory_layout)
        arch = identify(config, specs)
        stacks = arch.stacks(config, specs)
        assert {stack.name for stack in stacks} == STACKS.get(name, {""})
        for stack in stacks:
            seen = {leaf.layer for leaf in arch.leaves(specs, config) if leaf.stack == stack.name}
            assert stack.count == 4
            assert seen - {None} == set(range(4))
            assert stack.count_key is not None

    def test_places_tell_where_a_leaf_stands(self, name, memory_layout):
        config, specs = opened(name, memory_layout=memory_layout)
        for leaf in identify(config, specs).leaves(specs, config):
            assert (leaf.place == "inside") == (leaf.layer is not None), leaf.name

    def test_layouts_give_the_same_leaves(self, name, memory_layout):
        config, specs = opened(name, memory_layout=memory_layout)
        _, other = opened(name, memory_layout=not memory_layout)
        shapes = [{leaf.name: leaf.shape for leaf in identify(config, s).leaves(s, config)} for s in (specs, other)]
        assert shapes[0] == shapes[1]

    def test_file_names_move_to_another_layer_and_back(self, name, memory_layout):
        config, specs = opened(name, memory_layout=memory_layout)
        arch = identify(config, specs)
        for leaf in arch.leaves(specs, config):
            moved = arch.with_layer(leaf.tensor, 17, leaf.stack)
            spot = arch.read(moved)
            assert spot.layer == (None if leaf.layer is None else 17)
            assert arch.with_layer(moved, leaf.layer or 0, leaf.stack) == leaf.tensor
            assert (
                arch.with_layer_leaf(arch.with_layer_leaf(leaf.name, 17, leaf.stack), leaf.layer or 0, leaf.stack)
                == leaf.name
            )


@pytest.mark.parametrize("name", TIEABLE)
@pytest.mark.parametrize("tied", [True, False])
def test_ties_are_what_the_file_shows(name, tied):
    config, specs = opened(name, tied=tied)
    arch = identify(config, specs)
    names = {leaf.name for leaf in arch.leaves(specs, config)}
    assert arch.tied(config) is tied
    assert bool(arch.ties(config)) is tied
    assert set(arch.head_ties.values()) <= names | set(arch.head_ties)
    assert all((head in names) is not tied for head in arch.head_ties if head.endswith("weight"))
    assert arch.tie_key == "tie_word_embeddings"
    assert arch.tie_keys[0] == arch.tie_key


@pytest.mark.parametrize("name", [n for n in ARCHITECTURES if n != "vit"])
def test_vocabulary_axes_hold_the_vocabulary(name):
    config, specs = opened(name)
    arch = identify(config, specs)
    found = [leaf for leaf in arch.leaves(specs, config) if leaf.vocab_axis is not None]
    assert found
    assert all(leaf.shape[leaf.vocab_axis] == 64 for leaf in found)
    assert {leaf.role for leaf in found} <= {"embedding", "head"}


def test_t5_ties_its_embeddings_always_and_its_head_by_the_flag():
    config, specs = opened("t5")
    arch = identify(config, specs)
    assert arch.ties(config)["lm_head.weight"] == "shared.weight"
    untied = {**config, "tie_word_embeddings": False}
    assert arch.ties(untied) == {
        "encoder.embed_tokens.weight": "shared.weight",
        "decoder.embed_tokens.weight": "shared.weight",
    }


def test_a_tie_flag_inside_the_text_config_ties_llava_but_not_gemma3():
    inner = {"tie_word_embeddings": False, "text_config": {"model_type": "llama", "tie_word_embeddings": True}}
    assert identify({"model_type": "llava", **inner}, ()).tied(inner)
    outer = {"tie_word_embeddings": False, "text_config": {"model_type": "gemma3_text", "tie_word_embeddings": True}}
    assert not identify({"model_type": "gemma3", **outer}, ()).tied(outer)


@pytest.mark.parametrize("a", ARCHITECTURES)
def test_compatible_with_its_own_kind_only(a):
    mine = identify(*opened(a))
    for b in ("llama", "bert", "t5", "llava"):
        theirs = identify(*opened(b))
        same = mine.model_type == theirs.model_type
        assert (compatible(mine, theirs) is None) is same
        if not same:
            assert mine.model_type in compatible(mine, theirs)


def test_a_model_without_a_type_is_taken_for_any():
    assert compatible(identify({}, ["a.0.w", "a.1.w"]), identify(*opened("llama"))) is None
