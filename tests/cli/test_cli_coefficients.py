"""solera learn coefficients, learn list: from a recipe and texts to a recipe with coefficients that merges."""

from __future__ import annotations

import json

import pytest

from solera.cli.coefficients import matches_of, settings_of
from solera.learn.coefficients import LEARNERS
from solera.recipe import load
from solera.testing.models import build, expert_of, tokenizer

WORDS = ["<pad>", "<s>", "</s>", "[UNK]", *(f"w{k}" for k in range(56))]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A base, two experts with tokenizers, text for each, and a recipe."""
    root = tmp_path_factory.mktemp("coefficients")
    build("llama", root / "base", layers=2)
    tokenizer("wordpiece", WORDS, root / "base", pad_token="<pad>", unk_token="[UNK]")
    for k in (1, 2):
        expert_of(root / "base", root / f"e{k}", seed=k, scale=0.05)
        rows = [{"text": " ".join(f"w{(3 * i + j * k) % 56}" for j in range(4 + i))} for i in range(4)]
        (root / f"d{k}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    models = f"models: [{root}/e1, {root}/e2]"
    (root / "r.yaml").write_text(f"base: {root}/base\n{models}\nmethod: task_arithmetic\n")
    return root


def words_for(place, *more):
    data = ("--data", place / "d1.jsonl", "--data", place / "d2.jsonl")
    return ("learn", "coefficients", place / "r.yaml", *data, *more)


@pytest.mark.parametrize("method", ["adamerging", "expert_merging"])
def test_from_texts_to_a_merged_model(solera, place, tmp_path, method):
    words = words_for(place, "--method", method, "--granularity", "layer", "--steps", 2, "--batch", 2)
    said = solera(*words, "-o", tmp_path / "learnt", "--json")
    assert said.code == 0, said.err
    assert said.data["learner"] == method
    assert (said.data["settings"]["steps"], len(said.data["losses"])) == (2, 2)
    assert [one["samples"] for one in said.data["data"]] == [4, 4]
    made = solera("merge", said.data["recipe"], tmp_path / "out")
    assert made.code == 0, made.err
    assert solera(*words, "-o", tmp_path / "learnt").code == 5
    assert solera(*words, "-o", tmp_path / "learnt", "--force").out.splitlines()[0].split() == ["learner", method]


def test_what_is_frozen_and_set_by_name(solera, place, tmp_path):
    more = ("--freeze", "norm", "--freeze", "*.q_proj.weight", "--set", "bounds=none", "--steps", 1)
    said = solera(*words_for(place, *more, "-o", tmp_path), "--json")
    assert said.code == 0, said.err
    assert said.data["settings"]["bounds"] == "none"
    assert not any("norm" in name or "q_proj" in name for name in said.data["coefficients"])
    assert [rule.method for rule in load(said.data["recipe"]).merge.rules[:2]] == ["copy", "copy"]


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["RECIPE"], 2, "no calibration data"),
        (["RECIPE", "--data", "D"], 2, "its own data"),
        (["RECIPE", "--data", "D", "--data", "D", "--testbed", "vision-8"], 2, "given twice"),
        (["--data", "D"], 2, "no recipe"),
        (["RECIPE", "--data", "D", "--data", "D", "--method", "adamergin"], 2, "adamerging"),
        (["RECIPE", "--data", "D", "--data", "D", "--set", "rate"], 2, "NAME=VALUE"),
        (["RECIPE", "--data", "D", "--data", "D", "--granularity", "row"], 2, "granularity"),
        (["--testbed", "vision-8", "--part", "exam"], 2, "no such part"),
        (["--testbed", "vision-8", "--cache", "/no/such"], 3, "vision-8"),
    ],
)  # fmt: skip
def test_wrong_wishes_are_refused(solera, place, tmp_path, words, code, what):
    names = {"RECIPE": str(place / "r.yaml"), "D": str(place / "d1.jsonl")}
    said = solera("learn", "coefficients", *(names.get(word, word) for word in words), "-o", tmp_path / "s")
    assert said.code == code, said.err
    assert what in said.err


def test_learners_are_listed(solera):
    said = solera("learn", "list")
    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines()] == list(LEARNERS)
    one = solera("learn", "list", "expert_merging", "--json").data
    assert (one["name"], one["defaults"]["options"]["anchor"]) == ("expert_merging", 5.0)
    assert "arXiv:2310.02575" in solera("learn", "list", "adamerging").out


def test_words_become_settings_and_matches() -> None:
    assert settings_of(["held-out=0.2", "keep=best", "each_task=false"], {"rate": 1.0, "init": None}) == {
        "rate": 1.0, "held_out": 0.2, "keep": "best", "each_task": False,
    }  # fmt: skip
    assert [match.role or match.name for match in matches_of(["embedding", "a.b"])] == [("embedding",), "a.b"]
