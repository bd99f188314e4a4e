"""The written tokenizer loads with transformers and gives every token its planned id."""

import json

import pytest

pytest.importorskip("transformers")

from made_tokenizers import KINDS, MORE, SPECIALS, WORDS, save

from solera.methods.vocab import build_tokenizer, read_vocabulary, trimmed, union, with_tokens

pytestmark = pytest.mark.end_to_end


def written(built, folder):
    for name, data in built.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def loaded(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def read(folder):
    return read_vocabulary(folder, json.loads((folder / "config.json").read_text()))


def as_metaspace(path):
    """Replace the byte-level parts, with which Llama's own class is never used."""
    parts = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    path.write_text(json.dumps({**json.loads(path.read_text()), "pre_tokenizer": parts, "decoder": parts}))


def test_what_is_read_is_what_transformers_loads(pair, kind):
    for folder in pair:
        found = read(folder)
        assert dict(found.tokens) == loaded(folder).get_vocab()
        assert found.kind == kind
        assert set(found.added) == {t.content for t in loaded(folder).added_tokens_decoder.values()}
    assert read(pair[0]).rows == read(pair[0]).size + 5


def test_union_loads_with_the_planned_ids(pair, tmp_path):
    base, other = map(read, pair)
    output = with_tokens(union([base, other]), ["<|mine|>"])
    made = loaded(written(build_tokenizer(output, pair[0], base=base), tmp_path / "out"))
    assert made.get_vocab() == dict(output.tokens)
    for token, number in output.tokens.items():
        assert made.convert_tokens_to_ids(token) == number
        assert made.convert_ids_to_tokens(number) == token
    assert len(made) == output.size
    assert made.encode("<|tool|>", add_special_tokens=False) == [output.tokens["<|tool|>"]]
    assert made.encode("<|mine|>", add_special_tokens=False) == [output.tokens["<|mine|>"]]
    assert made.decode([output.tokens["<|tool|>"]], skip_special_tokens=True) == ""
    assert (made.bos_token, made.eos_token, made.unk_token) == ("<s>", "</s>", "<unk>")


def test_union_keeps_how_the_base_reads_its_own_words(pair, tmp_path, kind):
    base, other = map(read, pair)
    output = union([base, other])
    made = loaded(written(build_tokenizer(output, pair[0], plain="model", donors=[other]), tmp_path / "out"))
    assert made.get_vocab() == dict(output.tokens)
    before = loaded(pair[0])
    text = " ".join(WORDS)
    assert made.encode(text) == before.encode(text)
    ids = made.encode("a hills", add_special_tokens=False)
    assert made.unk_token_id not in ids
    assert made.decode(ids) == "a hills"
    whole = {"bpe": "hills", "unigram": "▁hills", "wordpiece": "hills"}[kind]
    assert output.tokens[whole] in ids


@pytest.mark.parametrize("name", ["Qwen2Tokenizer", "GPT2Tokenizer", "LlamaTokenizer", "T5Tokenizer", "BertTokenizer"])
def test_union_under_model_specific_loaders(tmp_path, name):
    kind = {"T5Tokenizer": "unigram", "BertTokenizer": "wordpiece"}.get(name, "bpe")
    folders = [save(tmp_path / w[0], KINDS[kind](w, i), extra=[f"<|x{i}|>"]) for i, w in enumerate((WORDS, MORE))]
    if name == "LlamaTokenizer":
        as_metaspace(folders[0] / "tokenizer.json")
    settings = folders[0] / "tokenizer_config.json"
    names = {
        "tokenizer_class": name,
        "pad_token": "<unk>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<unk>",
    }
    settings.write_text(json.dumps({**json.loads(settings.read_text()), **names, "extra_ids": 0}))
    (folders[0] / "config.json").unlink()
    output = union([read_vocabulary(f) for f in folders])
    for plain in ("added", "model"):
        made = loaded(written(build_tokenizer(output, folders[0], plain=plain), tmp_path / plain))
        assert type(made).__name__.startswith(name.removesuffix("Tokenizer"))
        missing = {t: i for t, i in output.tokens.items() if made.get_vocab().get(t) != i}
        assert missing == {}


def test_same_vocabulary_is_copied_byte_for_byte(pair):
    base = read(pair[0])
    built = build_tokenizer(union([base, base]), pair[0])
    names = {p.name for p in pair[0].iterdir()} - {"config.json"}
    assert set(built.files) == names
    assert all(data == (pair[0] / name).read_bytes() for name, data in built.files.items())
    assert built.notes == ()


def test_old_formats_are_left_out_with_a_note(pair):
    (pair[0] / "merges.txt").write_text("#version: 0.2\n")
    built = build_tokenizer(union([read(pair[0]), read(pair[1])]), pair[0])
    assert "merges.txt" not in built.files
    assert any("merges.txt" in note for note in built.notes)


def test_added_tokens_decoder_follows(pair, tmp_path):
    path = pair[0] / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    base = read(pair[0])
    settings["added_tokens_decoder"] = {str(base.tokens[t]): flags.entry(t) for t, flags in base.added.items()}
    settings["extra_special_tokens"] = ["<|im_start|>"]
    path.write_text(json.dumps(settings))
    output = union([base, read(pair[1])])
    made = build_tokenizer(output, pair[0])
    decoder = json.loads(made.files["tokenizer_config.json"])["added_tokens_decoder"]
    assert {e["content"]: int(i) for i, e in decoder.items()} == {t: output.tokens[t] for t in output.added}
    tokenizer = loaded(written(made, tmp_path / "out"))
    assert tokenizer.get_vocab() == dict(output.tokens)
    assert "<|tool|>" in tokenizer.all_special_tokens


def test_ids_with_a_gap_are_stated_outright(tmp_path):
    folder = save(tmp_path / "gap", KINDS["bpe"](WORDS, 1))
    data = json.loads((folder / "tokenizer.json").read_text())
    vocab = data["model"]["vocab"]
    far = max(vocab, key=vocab.get)
    vocab[far] += 10
    (folder / "tokenizer.json").write_text(json.dumps(data))
    base = read_vocabulary(folder)
    output = with_tokens(base, ["<|new|>"])
    assert output.tokens["<|new|>"] == base.tokens[far] + 1
    assert loaded(written(build_tokenizer(output, folder), tmp_path / "out")).get_vocab() == dict(output.tokens)


def test_a_token_that_only_a_role_names_keeps_its_id(tmp_path):
    folder = save(tmp_path / "role", KINDS["bpe"](WORDS, 1))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token": "[PAD]"}))
    found = read_vocabulary(folder)
    assert dict(found.tokens) == loaded(folder).get_vocab()
    output = with_tokens(found, ["<|new|>"])
    assert loaded(written(build_tokenizer(output, folder), tmp_path / "out")).get_vocab() == dict(output.tokens)


def test_tokens_without_a_row_are_cut_out(pair, tmp_path):
    base = read(pair[0])
    short = trimmed(read_vocabulary(pair[0], rows=base.size - 3))
    assert short.size == base.size - 3
    made = loaded(written(build_tokenizer(short, pair[0], base=base), tmp_path / "out"))
    assert made.get_vocab() == dict(short.tokens)


def test_wordpiece_without_tokenizer_json_is_converted(tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({c for w in WORDS for c in w}), *WORDS]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    base = read_vocabulary(folder)
    output = with_tokens(base, ["<|new|>"])
    made = loaded(written(build_tokenizer(output, folder), tmp_path / "out"))
    assert {t: i for t, i in output.tokens.items() if made.get_vocab().get(t) != i} == {}


def test_specials_come_first_in_all_test_tokenizers(pair):
    assert [read(pair[1]).tokens[t] for t in SPECIALS] == [0, 1, 2]
