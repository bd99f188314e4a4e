"""The model card's front matter, the licence, the manifest."""

import json

import pytest

from solera.reconcile import (
    CardMethod,
    CardModel,
    InputModel,
    Licence,
    OutputTensorRow,
    hub_id,
    library_of,
    licence_of,
    manifest,
    model_card,
    read_front_matter,
    strictest,
)

MODELS = [
    CardModel("org/base", "org/base", "abc", is_base=True),
    CardModel("org/math", "org/math"),
    CardModel("/tmp/mine"),
]


def card(**changes):
    values = {
        "title": "out",
        "recipe": "method: ties\n",
        "models": MODELS,
        "methods": [CardMethod("ties", "Resolve sign conflicts.", "2306.01708"), CardMethod("copy")],
        "licence": Licence("other", "llama3", "LICENSE"),
    }
    return model_card(**{**values, **changes})


def test_front_matter_as_the_hub_reads_it():
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(card(pipeline="text-generation")).data.to_dict()
    assert data == {
        "base_model": ["org/base", "org/math"],
        "base_model_relation": "merge",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "other",
        "license_name": "llama3",
        "license_link": "LICENSE",
        "tags": ["merge", "solera"],
    }


def test_front_matter_without_hub_parents(tmp_path):
    (tmp_path / "README.md").write_text(card(models=[CardModel("./a")], licence=None, library=None))
    assert read_front_matter(tmp_path) == {"tags": ["merge", "solera"]}


def test_text_names_models_methods_and_recipe():
    text = card(notes=["3 rows\nfilled"])
    assert "[org/base](https://huggingface.co/org/base) at `abc` (base)" in text
    assert "- `/tmp/mine`\n" in text
    assert "[arXiv:2306.01708](https://arxiv.org/abs/2306.01708)" in text
    assert "```yaml\nmethod: ties\n```" in text
    assert "- 3 rows filled" in text


def test_a_recipe_that_holds_a_fence_stays_inside():
    assert "````yaml\n```\n````" in card(recipe="```")


def test_hub_ids_and_libraries(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "model").mkdir(parents=True)
    assert hub_id("org/model") is None
    assert hub_id("org/other") == "org/other"
    assert hub_id("a/b/c") is None
    assert library_of([], {}) is None


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        (["mit", "mit"], "mit"),
        (["mit", "apache-2.0"], "apache-2.0"),
        (["mit", "apache-2.0", "gemma"], "gemma"),
        (["cc-by-nc-4.0", "cc-by-4.0"], "cc-by-nc-4.0"),
        (["apache-2.0", "cc-by-nc-4.0"], "cc-by-nc-4.0"),
        (["llama3", "gemma"], None),
        (["mit", None], None),
        (["mit", "cc-by-nd-4.0"], None),
        ([], None),
    ],
)
def test_the_strictest_licence_or_none(parents, expected):
    licence, note = strictest({f"m{i}": p and Licence(p) for i, p in enumerate(parents)})
    assert (licence and licence.id) == expected
    assert bool(note) == (len(set(parents)) != 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nlicense: Apache-2.0\n---\n", Licence("apache-2.0")),
        ("---\r\nlicense: other\r\nlicense_name: x\r\n---\r\n", Licence("other", "x")),
        ("---\nlicense: [mit]\n---\n", Licence("mit")),
        ("---\nlicense: [mit, gpl]\n---\n", None),
        ("---\nlicense: unknown\n---\n", None),
        ("---\na: &a [1]\nlicense: mit\n---\n", None),
        ("---\nlicense: {\n---\n", None),
        ("no front matter", None),
    ],
)
def test_licence_of_a_card(tmp_path, text, expected):
    (tmp_path / "README.md").write_bytes(text.encode())
    assert licence_of(read_front_matter(tmp_path)) == expected


def test_no_card_no_licence(tmp_path):
    assert read_front_matter(tmp_path) == {}
    assert read_front_matter(None) == {}


def test_manifest_is_json_and_counts_everything():
    made = manifest(
        version="0.1.0",
        recipe_digest="r",
        plan_digest="p",
        result_digest="d",
        inputs=[InputModel("org/base", "w", "abc", "base")],
        tensors=[OutputTensorRow("a", "BF16", (2, 3), "merged", "x"), OutputTensorRow("b", "F32", (), "copied")],
        left_out=[("org/base", "c", "consumed", "a scale")],
        files={"config.json": "0"},
        notes=["n"],
        seed=3,
    )
    assert json.loads(json.dumps(made)) == made
    assert made["counts"] == {"merged": 1, "copied": 1, "consumed": 1}
    assert made["inputs"] == [{"model": "org/base", "revision": "abc", "role": "base", "weak_id": "w"}]
    assert made["tensors"]["a"] == {"dtype": "BF16", "shape": [2, 3], "status": "merged", "digest": "x"}
    assert made["left_out"] == [{"model": "org/base", "tensor": "c", "what": "consumed", "why": "a scale"}]
    assert made["numerics"] == 1
