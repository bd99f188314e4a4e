"""Reading vocabularies: every format, and files that lie."""

import json
import sys

import pytest

from solera.errors import CorruptFile, MissingExtra, NotFound, UnsafeFile
from solera.methods.vocab import build_tokenizer, embedding_rows, read_vocabulary, with_tokens


def put(folder, name, value):
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))


def test_tokenizer_json_of_the_four_kinds(tmp_path):
    models = {
        "bpe": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
        "unigram": {"type": "Unigram", "vocab": [["a", -1.0], ["b", -2.0]], "unk_id": 0},
        "wordpiece": {"type": "WordPiece", "vocab": {"a": 0, "b": 1}},
        "wordlevel": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}},
    }
    for kind, model in models.items():
        put(
            tmp_path, "tokenizer.json", {"model": model, "added_tokens": [{"id": 2, "content": "<s>", "special": True}]}
        )
        found = read_vocabulary(tmp_path, {"vocab_size": 4}, label="m")
        assert (dict(found.tokens), found.kind, found.rows) == ({"a": 0, "b": 1, "<s>": 2}, kind, 4)
        assert found.added["<s>"].special
        del model["type"]
        put(
            tmp_path,
            "tokenizer.json",
            {"model": model | ({"continuing_subword_prefix": "##"} if kind == "wordpiece" else {})},
        )
        assert read_vocabulary(tmp_path).kind == kind


def test_vocab_json_with_and_without_merges(tmp_path):
    put(tmp_path, "vocab.json", {"a": 0, "b": 1})
    put(tmp_path, "added_tokens.json", {"<x>": 2})
    assert read_vocabulary(tmp_path).kind == "wordlevel"
    put(tmp_path, "merges.txt", "")
    found = read_vocabulary(tmp_path)
    assert (found.kind, dict(found.tokens), set(found.added)) == ("bpe", {"a": 0, "b": 1, "<x>": 2}, {"<x>"})


def test_vocab_txt(tmp_path):
    put(tmp_path, "vocab.txt", "[PAD]\nthe\n##s\n")
    found = read_vocabulary(tmp_path)
    assert (dict(found.tokens), found.kind) == ({"[PAD]": 0, "the": 1, "##s": 2}, "wordpiece")


def test_sentencepiece_model(tmp_path):
    spm = pytest.importorskip("sentencepiece")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(["the cat sat on the mat", "a dog ran over the hill"] * 20))
    for kind in ("unigram", "bpe"):
        spm.SentencePieceTrainer.train(
            input=str(text),
            model_prefix=str(tmp_path / "tokenizer"),
            vocab_size=20,
            model_type=kind,
            minloglevel=2,
            hard_vocab_limit=False,
        )
        found = read_vocabulary(tmp_path)
        processor = spm.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
        assert dict(found.tokens) == {processor.id_to_piece(i): i for i in range(processor.get_piece_size())}
        assert found.kind == kind
        assert set(found.added) == {"<unk>", "<s>", "</s>"}
    (tmp_path / "tokenizer.model").write_bytes(b"\xff\xff\xff not a model")
    with pytest.raises(CorruptFile, match="SentencePiece"):
        read_vocabulary(tmp_path)


def test_a_missing_extra_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "tokenizer.model").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(MissingExtra, match=r"pip install .*solera\[hf\]"):
        read_vocabulary(tmp_path)
    (tmp_path / "tokenizer.model").unlink()
    put(tmp_path, "vocab.txt", "a\n")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install .*solera\[hf\]"):
        build_tokenizer(with_tokens(read_vocabulary(tmp_path), ["b"]), tmp_path)


def test_added_tokens_outside_tokenizer_json(tmp_path):
    put(tmp_path, "tokenizer.json", {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})
    put(
        tmp_path,
        "tokenizer_config.json",
        {"added_tokens_decoder": {"1": {"content": "<x>", "special": True}}, "pad_token": "<p>"},
    )
    put(tmp_path, "special_tokens_map.json", {"eos_token": {"content": "<e>"}, "bos_token": "<x>"})
    found = read_vocabulary(tmp_path)
    assert dict(found.tokens) == {"a": 0, "<x>": 1, "<e>": 2, "<p>": 3}
    assert found.rows == 4


def test_tokens_without_a_row_are_noted(tmp_path):
    put(tmp_path, "vocab.json", {"a": 0, "b": 1})
    assert "1 tokens have no embedding row" in read_vocabulary(tmp_path, rows=1).notes[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tokenizer.json", "{"),
        ("tokenizer.json", {"model": {"type": "BPE"}}),
        ("tokenizer.json", {"model": 3}),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {"a": "zero"}}}),
        ("vocab.json", {"a": -1}),
        ("vocab.json", [1]),
    ],
)
def test_files_that_lie(tmp_path, name, value):
    put(tmp_path, name, value)
    with pytest.raises(CorruptFile):
        read_vocabulary(tmp_path)


def test_nested_too_deeply(tmp_path):
    put(tmp_path, "tokenizer.json", '{"model":' + "[" * 100_000)
    with pytest.raises((UnsafeFile, CorruptFile)):
        read_vocabulary(tmp_path)


@pytest.mark.parametrize("name", [None, "sentencepiece.bpe.model", "tekken.json"])
def test_no_tokenizer_that_can_be_read(tmp_path, name):
    if name:
        put(tmp_path, name, "x")
    with pytest.raises(NotFound, match="tokenizer"):
        read_vocabulary(tmp_path)


def test_rows_a_config_states():
    assert embedding_rows({"vocab_size": 8, "text_config": {"vocab_size": 9}}) == 8
    assert embedding_rows({"text_config": {"vocab_size": 9}}) == 9
    assert embedding_rows({"hidden_size": 9}) is None
