"""The builders of tiny models and tokenizers: what they write is real, small, seeded, and loads."""

from __future__ import annotations

import json

import pytest
from arch_models import specs_of

from solera.errors import BadParameter, UnknownName
from solera.testing.models import ARCHITECTURES, build, expert_of, tokenizer, vocabularies
from solera.testing.tokenizers import merges

TOKENS = {
    "bpe": ["<unk>", "<s>", "</s>", *"abcde", "ab", "abc", "de", "Ġ", "Ġab", "Ġde"],
    "unigram": ["<unk>", "<s>", "</s>", *"abcde", "▁", "▁ab", "▁de", "abc"],
    "wordpiece": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcde", "ab", "##c", "##de", "de"],
}


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_models_are_small_seeded_and_load_whole(name, tmp_path):
    import transformers

    one, two, other = (build(name, tmp_path / n, seed=s) for n, s in (("a", 3), ("b", 3), ("c", 4)))
    blob = (one / "model.safetensors").read_bytes()
    assert len(blob) < 1_000_000
    assert blob == (two / "model.safetensors").read_bytes()
    assert blob != (other / "model.safetensors").read_bytes()
    head = getattr(transformers, json.loads((one / "config.json").read_text())["architectures"][0])
    _, info = head.from_pretrained(one, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe", "llava", "vit"])
def test_both_layouts_are_one_model(name, tmp_path):
    import torch
    import transformers

    states = []
    for memory_layout in (False, True):
        folder = build(name, tmp_path / str(memory_layout), seed=2, memory_layout=memory_layout)
        head = getattr(transformers, json.loads((folder / "config.json").read_text())["architectures"][0])
        states.append(head.from_pretrained(folder).state_dict())
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=0, atol=0)


def test_sizes_types_and_changes_are_followed(tmp_path):
    folder = build("llama", tmp_path, layers=6, vocab=80, dtype="bfloat16", tied=True, hidden_size=32)
    found = specs_of(folder / "model.safetensors")
    assert found["model.embed_tokens.weight"].shape == (80, 32)
    assert {spec.dtype.value for spec in found.values()} == {"BF16"}
    assert "model.layers.5.mlp.up_proj.weight" in found
    assert "lm_head.weight" not in found


def test_nested_changes_reach_the_text_config(tmp_path):
    config = json.loads((build("llava", tmp_path, rms_norm_eps=0.5) / "config.json").read_text())
    assert config["text_config"]["rms_norm_eps"] == 0.5


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(UnknownName, match="did you mean `llama`"):
        build("lama", tmp_path)
    with pytest.raises(UnknownName, match="did you mean `unigram`"):
        tokenizer("unigramm", ["a"], tmp_path)


def test_an_expert_is_near_its_base(tmp_path):
    import torch
    from safetensors.torch import load_file

    base = build("qwen2_moe", tmp_path / "base", seed=1, dtype="bfloat16")
    expert = expert_of(base, tmp_path / "expert", seed=5, scale=0.02)
    a, b = (load_file(folder / "model.safetensors") for folder in (base, expert))
    assert a.keys() == b.keys()
    assert (expert / "config.json").read_bytes() == (base / "config.json").read_bytes()
    for key, value in a.items():
        moved = (b[key].float() - value.float()).abs()
        assert b[key].dtype == value.dtype
        assert 0 < moved.max() < 0.2, key
    again = load_file(expert_of(base, tmp_path / "again", seed=5, scale=0.02) / "model.safetensors")
    torch.testing.assert_close(again["lm_head.weight"], b["lm_head.weight"], rtol=0, atol=0)


@pytest.mark.parametrize("kind", sorted(TOKENS))
def test_tokenizers_are_real_and_keep_their_ids(kind, tmp_path):
    from tokenizers import Tokenizer

    tokenizer(kind, TOKENS[kind], tmp_path)
    made = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert made.get_vocab() == {token: at for at, token in enumerate(TOKENS[kind])}
    encoded = made.encode("abc de")
    assert encoded.tokens in (["abc", "Ġde"], ["▁", "abc", "▁de"], ["ab", "##c", "de"])
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["unk_token"] == ("[UNK]" if kind == "wordpiece" else "<unk>")


@pytest.mark.parametrize("kind", sorted(TOKENS))
def test_permuted_ids_give_the_same_tokens(kind, tmp_path):
    from tokenizers import Tokenizer

    tokenizer(kind, TOKENS[kind], tmp_path / "a")
    tokenizer(kind, TOKENS[kind][::-1], tmp_path / "b")
    a, b = (Tokenizer.from_file(str(tmp_path / n / "tokenizer.json")) for n in "ab")
    assert a.encode("abc de").tokens == b.encode("abc de").tokens
    assert a.encode("abc de").ids != b.encode("abc de").ids


@pytest.mark.end_to_end
def test_transformers_reads_the_tokenizer(tmp_path):
    from transformers import AutoTokenizer

    tokenizer("bpe", TOKENS["bpe"], tmp_path, chat_template="{{ messages[0].content }}")
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.unk_token == "<unk>"
    assert loaded("abc de").input_ids == [TOKENS["bpe"].index("abc"), TOKENS["bpe"].index("Ġde")]


def test_merges_are_made_of_known_parts():
    assert merges(["a", "b", "c", "ab", "abc", "xyz", "<s>"]) == [("a", "b"), ("ab", "c")]


@pytest.mark.parametrize("kind", sorted(TOKENS))
def test_vocabularies_overlap_by_half_in_other_orders(kind, tmp_path):
    from tokenizers import Tokenizer

    lists = vocabularies(kind, models=2, size=64, seed=3)
    assert lists == vocabularies(kind, models=2, size=64, seed=3)
    a, b = ({token: at for at, token in enumerate(tokens)} for tokens in lists)
    shared = a.keys() & b.keys()
    assert (len(a), len(b), len(shared)) == (64, 64, 32)
    assert sum(a[token] != b[token] for token in shared) > 24
    for at, ids in enumerate((a, b)):
        made = Tokenizer.from_file(str(tokenizer(kind, lists[at], tmp_path / str(at)) / "tokenizer.json"))
        assert made.get_vocab() == ids
    with pytest.raises(BadParameter):
        vocabularies(kind, size=20)
