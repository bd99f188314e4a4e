"""solera learn depth: from a model and texts to two recipes."""

from __future__ import annotations

import json

import pytest

from solera.testing.models import build, tokenizer

WORDS = ["<pad>", "<s>", "</s>", "[UNK]", *(f"w{k}" for k in range(56))]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("depth")
    build("llama", root / "m", layers=4)
    tokenizer("wordpiece", WORDS, root / "m", pad_token="<pad>", unk_token="[UNK]")
    rows = [{"text": " ".join(f"w{(3 * i + j * (1 + i % 5)) % 56}" for j in range(6))} for i in range(16)]
    (root / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return root


def test_from_texts_to_a_thinner_model(solera, place, tmp_path):
    words = ("learn", "depth", place / "m", "--data", place / "d.jsonl", "-o", tmp_path / "thin")
    said = solera(*words, "--ratio", 0.5, "--json")
    assert said.code == 0, said.err
    assert (said.data["layers"], said.data["left"], said.data["samples"]) == (4, 2, 16)
    assert json.loads((tmp_path / "thin" / "depth.json").read_text())["merges"] == said.data["merges"]
    for name in ("recipe", "dropped"):
        made = solera("merge", said.data[name], tmp_path / name)
        assert made.code == 0, made.err
        assert json.loads((tmp_path / name / "config.json").read_text())["num_hidden_layers"] == 2
    assert solera(*words, "--remove", 1).code == 5
    again = solera(*words, "--remove", 1, "--alpha", "0.5", "--pairs", "last", "--norms", "average", "--force")
    assert again.code == 0, again.err
    assert "layers 2 and 3" in again.out
    assert "share 0.500" in again.out
    assert "norms: average" in (tmp_path / "thin" / "recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--ratio", "0.5"], 2, "no calibration data"),
        (["--data", "{place}/d.jsonl"], 2, "How many layers"),
        (["--data", "{place}/d.jsonl", "--ratio", "1.5"], 2, "ratio"),
        (["--data", "{place}/d.jsonl", "--remove", "4"], 2, "cannot go"),
        (["--data", "{place}/d.jsonl", "--remove", "1", "--pairs", "best"], 2, "pairs"),
        (["--data", "{place}/d.jsonl", "--remove", "1", "--alpha", "much"], 2, "alpha"),
        (["--data", "{place}/d.jsonl", "--remove", "1", "--alpha", ".nan"], 2, "alpha"),
        (["--data", "{place}/d.jsonl", "--remove", "1", "--norms", "last"], 2, "norms"),
        (["--data", "{place}/d.jsonl", "--remove", "1", "--samples", "4"], 2, "more examples"),
        (["--data", "{place}/none.jsonl", "--remove", "1"], 3, "no such data"),
    ],
)
def test_what_is_refused(solera, place, tmp_path, words, code, part):
    said = solera("learn", "depth", place / "m", "-o", tmp_path, *(word.format(place=place) for word in words))
    assert said.code == code
    assert part in said.err
    assert not (tmp_path / "recipe.yaml").exists()
    assert (tmp_path / "layer_output.safetensors").exists() == ("--samples" in words)


def test_a_model_that_is_not_there(solera, place, tmp_path):
    said = solera("learn", "depth", place / "none", "--data", place / "d.jsonl", "--remove", "1", "-o", tmp_path)
    assert said.code == 3, said.err
    assert "none" in said.err
