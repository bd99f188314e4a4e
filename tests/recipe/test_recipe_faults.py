"""What is wrong is found all at once, each with its line, what was wanted and what to do."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solera import registry
from solera.errors import RecipeError, RecipeFaults
from solera.recipe import Merge, Operand, Recipe, check_recipe, file_text, find_faults, load, parse
from solera.recipe.linking import MAX_MERGES
from solera.types import ModelRef


def only(text, **options):
    found = find_faults(text, "x.yaml", **options)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]


def test_everything_is_reported_together_in_the_order_of_the_text():
    text = """\
solera: 2
methd: ties
base: 3
models:
  - model: org/a
    densty: 0.5
  - {path: org/b, model: org/c}
  - 7
parameters: {density: 20, normalize: 1}
rules:
  - {match: {layers: 9-3}, method: tise}
output: {dtype: int8, shard: huge, layout_form: x}
seed: -1
"""
    found = find_faults(text, "x.yaml")
    assert [(int(f.where.rpartition(" ")[2]), f.what) for f in found] == [
        (1, "The recipe is of an unknown version."),
        (1, "`method` is missing."),
        (2, "`methd` is not a key here."),
        (3, "`base` is not usable."),
        (6, "ties has no parameter `densty`."),
        (7, "A model needs one of `model`, `path` and `merge`."),
        (8, "`models` is not usable."),
        (9, "`density` is not usable."),
        (9, "`normalize` is not usable."),
        (11, "The layers are not readable."),
        (11, "There is no method `tise`."),
        (12, "`layout_form` is not a key here."),
        (12, "The dtype is not usable."),
        (12, "The size is not readable."),
        (13, "`seed` is not usable."),
    ]
    assert [f.fix for f in found if f.what.startswith("`methd`")] == ["did you mean `method`?"]


def test_card_faults_join_the_others():
    text = """\
method: ties
variant: mergkit
base: org/base
models:
  - {model: org/a, densty: 0.5, boundary: kth}
  - {model: org/b, density: [0.5, 20], weight: much}
parameters: {density: [{filter: mlp, value: 1.5}, {value: 0.5}], normalise: true, normalize: 1}
rules:
  - {match: {role: mlp}, parameters: {boundary: kht}, models: {1: {weight: .nan}, 5: {weight: 1}}}
  - {match: {role: norm}, method: slerp}
"""
    found = find_faults(text, "x.yaml")
    by_line = {(int(f.where.rpartition(" ")[2]), f.what): (f.got, f.fix) for f in found}
    assert len(by_line) == len(found) == 12
    assert by_line[2, "Method `ties` has no variant `mergkit`."][1] == "did you mean `mergekit`?"
    assert by_line[5, "ties has no parameter `densty`."][1] == "did you mean `density`?"
    assert by_line[5, "`boundary` is one value for all models."] == (
        "kth",
        "move it under the `parameters` of the merge",
    )
    assert by_line[6, "`density` is not usable."] == ("20.0", "for 20 % write 0.2")
    assert by_line[6, "`weight` is not usable."][0] == "much"
    assert by_line[7, "`density` is not usable."] == ("1.5", "for 1.5 % write 0.015")
    assert by_line[7, "ties has no parameter `normalise`."][1] == "did you mean `normalize`?"
    assert by_line[7, "`normalize` is not usable."][0] == "1"
    assert by_line[9, "`boundary` is not usable."] == ("kht", "did you mean `kth`?")
    assert by_line[9, "`weight` is not usable."][0] == "nan"
    assert (9, "There is no model `5` in this merge.") in by_line
    assert (10, "`t` is missing.") in by_line


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("{method: linaer, models: [a]}", "There is no method `linaer`.", "did you mean `linear`?"),
        ("{method: 'os:system', models: [a]}", "There is no method `os:system`.", "registered methods, never code"),
        ("{method: linear, base: b, models: [a]}", "linear does not take a base.", "remove it"),
        ("{method: ties, models: [a]}", "ties needs a base.", "trained from"),
        ("{method: model_stock, base: b, models: [a]}", "model_stock cannot merge 1 model beside the base.", ""),
        ("{method: passthrough, models: [a, b]}", "passthrough cannot merge 2 models.", ""),
        (
            "{method: slerp, base: c, models: [a, b], parameters: {t: 0.5}}",
            "slerp cannot merge 2 models beside the base.",
            "",
        ),
        ("{method: slerp, models: [a], parameters: {t: 0.5}}", "slerp cannot merge 1 model beside the base.", ""),
        ("{method: slerp, models: [a, b]}", "`t` is missing.", "set it under `parameters`"),
        ("{method: slerp, models: [a, b], parameters: {t: [0, 2]}}", "`t` is not usable.", "for 2 % write 0.02"),
        ("{method: karcher, models: [a, b], parameters: {max_iter: [2, 5]}}", "`max_iter` is not usable.", "use rules"),
        ("{method: karcher, models: [a, b], parameters: {max_iter: 2.5}}", "`max_iter` is not usable.", ""),
        ("{method: linear, models: [a], parameters: {weight: .inf}}", "`weight` is not usable.", ""),
        ("{method: linear, models: [a], parameters: {weight: true}}", "`weight` is not usable.", ""),
        ("{method: linear}", "What is merged is not clear.", ""),
        ("{method: linear, models: []}", "What is merged is not clear.", ""),
        ("{method: linear, models: [a], modules: {x: {models: [a]}}}", "What is merged is not clear.", ""),
        ("{method: linear, models: [a, null]}", "An entry of `models` is empty.", ""),
        ("{method: linear, models: [{weight: 1}]}", "A model needs one of `model`, `path` and `merge`.", ""),
        ("{method: linear, models: [{model: a, lora: {weight: 1}}]}", "The adapter has no `path`.", ""),
        (
            "{method: linear, models: [{merge: {method: linear, models: [a]}, lora: b}]}",
            "`lora` does not go with `merge`.",
            "",
        ),
        ("{method: linear, models: ['a@b@c']}", "The model is not readable.", "{path: ..."),
        ("{method: linear, models: [{model: a@b, revision: c}]}", "The revision is given twice.", ""),
        ("{method: linear, models: [{model: a, weight: 1, parameters: {weight: 1}}]}", "`weight` is given twice.", ""),
        ("{method: linear, models: [{model: a, weight: null}]}", "`weight` is not usable.", ""),
        ("{method: linear, models: [{model: a, weight: []}]}", "`weight` is not usable.", ""),
        ("{method: linear, models: [{model: a, revision: 1234567}]}", "`revision` is not usable.", "put it in quotes"),
        ("{method: linear, models: [a], rules: [{match: {role: mlp}}]}", "The rule changes nothing.", ""),
        (
            "{method: linear, models: [a], rules: [{match: {rol: mlp}, method: copy}]}",
            "`rol` is not a key here.",
            "`role`",
        ),
        (
            "{method: linear, models: [a, b], rules: [{match: {}, method: slerp, parameters: {t: 2}}]}",
            "`t` is not usable.",
            "",
        ),
        ("{method: linear, models: [a, b], rules: [{match: {}, method: ties}]}", "ties needs a base.", ""),
        ("{method: linear, models: [a], chat_template: chatmll}", "The chat template is not known.", "`chatml`"),
        (
            "{method: linear, models: [a], tokenizer: {tokens: {x: {force: true}}}}",
            "The token `x` has no usable source.",
            "",
        ),
        (
            "{method: linear, models: [a], tokenizer: {tokens: {x: {source: {kind: zer}}}}}",
            "`kind` is not usable.",
            "`zero`",
        ),
        (
            "{method: linear, models: [a], tokenizer: {pad_to_multiple_of: 0}}",
            "`pad_to_multiple_of` is not usable.",
            "",
        ),
        ("{method: linear, models: [a], nonfinite: kep}", "`nonfinite` is not usable.", "`keep`"),
        ("{method: linear, slices: [{sources: []}]}", "A slice has no `sources`.", ""),
        (
            "{method: linear, slices: [{sources: [{model: a, layers: 0-3, layer_range: [0, 3]}]}]}",
            "The layers are given twice.",
            "",
        ),
        (
            "{method: linear, slices: [{sources: [{model: a, layers: 0-3}, {model: b, layers: 0-4}]}]}",
            "The sources of the slice have different numbers of layers.",
            "",
        ),
        (
            "{method: ties, slices: [{sources: [{model: a}], base: b}, {sources: [{model: a}]}]}",
            "ties needs a base.",
            "",
        ),
        ("{merge_method: linear, models: [{model: a}]}", "`weight` is missing.", "set it on every model"),
        (
            "{merge_method: ties, base_model: b, models: [{model: a, parameters: {weight: 1, density: 20}}]}",
            "`density` is not usable.",
            "for 20 % write 0.2",
        ),
        ("{merge_method: ties, models: [{model: a, parameters: {weight: 1}}]}", "ties needs a base.", ""),
        ("{merge_method: ties, base_model: b, models: [{model: b}]}", "The base is the only model.", ""),
        (
            "{merge_method: tise, base_model: b, models: [{model: a, parameters: {weight: 1}}]}",
            "There is no method `tise`.",
            "`ties`",
        ),
        ("{merge_metod: linear, models: [{model: a}]}", "`merge_method` is missing.", "rename `merge_metod`"),
        ("{base_model: a, models: [{model: a}]}", "`merge_method` is missing.", ""),
        ("{merge_method: passthrough, models: [{parameters: {scale: 1}}, {model: a}]}", "`model` is missing.", ""),
        ("{merge_method: passthrough, slices: [{sources: [{model: a}]}]}", "`layer_range` is missing.", ""),
        (
            "{merge_method: passthrough, slices: [{sources: [{model: a, layer_range: [3, 2]}]}]}",
            "The layers are not readable.",
            "",
        ),
        (
            "{merge_method: passthrough, models: [{model: a}], slices: [{sources: [{model: a, layer_range: [0, 2]}]}]}",
            "What is merged is not clear.",
            "",
        ),
        ("{merge_method: passthrough, models: [{model: a}], dtype: int64}", "The dtype is not usable.", ""),
        (
            "{merge_method: passthrough, models: [{model: a}], tokenizer_source: base, tokenizer: {source: base}}",
            "The tokenizer is given twice.",
            "",
        ),
        ("{merge_method: slerp, base_model: b, models: [{model: a}, {model: b}]}", "`t` is missing.", ""),
        (
            "{merge_method: linear, models: [{model: a, parameters: {weight: [{filter: 3, value: 1}]}}]}",
            "`weight` is not usable.",
            "",
        ),
        ("- a\n", "The document is not a mapping.", ""),
        ("just text", "The document is not a mapping.", ""),
        ("a: [1", "The text is not YAML.", ""),
        ("{method: linear, models: [a], method: ties}", "The key `method` is given twice.", "keep one"),
        ("method: !!python/name:os.system x", "A tag is not allowed in a recipe.", ""),
        ("{method: linear, models: [a]}\n---\n{method: linear, models: [b]}", "Several documents have no name.", ""),
        (
            "{name: x, method: linear, models: [a]}\n---\n{name: x, method: linear, models: [a]}",
            "The name `x` is given twice.",
            "",
        ),
        (
            "{name: x, method: linear, models: [a], seed: 3}\n---\n{method: linear, models: [x]}",
            "`seed` has no effect here.",
            "",
        ),
        (
            "{name: x, merge_method: passthrough, models: [{model: a}]}\n---\n{method: linear, models: [x]}",
            "Two dialects are mixed.",
            "",
        ),
        (
            "{method: linear, modules: {x: {models: [a]}, y: {models: [a], parameters: {wieght: 1}}}}",
            "linear has no parameter `wieght`.",
            "`weight`",
        ),
        ("{method: linear, models: [{merge: {method: linaer, models: [a]}}]}", "There is no method `linaer`.", ""),
        (
            "{method: linear, models: [{merge: {method: linear, models: [a], tokenizer: union}}]}",
            "`tokenizer` is not a key here.",
            "",
        ),
    ],
)
def test_single_faults(text, what, fix):
    fault = only(text)
    assert fault.what == what
    assert fix in fault.fix
    assert fault.where.startswith("x.yaml line ")


def test_an_empty_text():
    assert [(f.what, f.where) for f in find_faults("# nothing\n", "x.yaml")] == [("The recipe is empty.", "x.yaml")]


def test_a_document_circle_is_a_fault():
    found = find_faults("{name: x, method: linear, models: [y]}\n---\n{name: y, method: linear, models: [x]}")
    assert [f.what for f in found] == ["Documents use each other in a circle."]
    assert found[0].got == "y -> x -> y"


def test_documents_that_double_are_refused():
    docs = ["{name: d0, method: linear, models: [a, b]}"]
    docs += [f"{{name: d{i}, method: linear, models: [d{i - 1}, d{i - 1}]}}" for i in range(1, 20)]
    assert str(MAX_MERGES) in only("\n---\n".join(docs)).want


def test_deeply_nested_merges_are_refused():
    docs = ["{name: d0, method: linear, models: [a]}"]
    docs += [f"{{name: d{i}, method: linear, models: [d{i - 1}]}}" for i in range(1, 60)]
    assert only("\n---\n".join(docs)).what == "The recipe nests too many merges."


def test_a_refused_value_hides_what_follows_from_it():
    assert only("{method: ties, base: [a], models: [b]}").what == "`base` is not usable."
    assert only("{method: 3, base: a, models: [b]}").what == "`method` is not usable."
    assert only("{method: passthrough, models: 3}").what == "`models` is not usable."


def test_copy_in_a_rule_may_use_a_base():
    assert find_faults("{method: linear, base: b, models: [a], rules: [{match: {role: norm}, method: copy}]}") == ()


def test_a_rule_may_switch_to_a_method_without_a_base():
    text = "{method: ties, base: b, models: [a, c], rules: [{match: {role: norm}, method: linear, parameters: {normalize: false}}]}"
    assert find_faults(text) == ()


def test_models_may_carry_parameters_of_a_rules_method():
    text = "{method: slerp, models: [a, {model: b, weight: 3}], parameters: {t: 0.5}, rules: [{match: {}, method: linear}]}"
    assert find_faults(text) == ()


def test_strict_is_off_for_keys_only():
    assert [f.what for f in find_faults("{method: linaer, sed: 3, models: [a]}", strict=False)] == [
        "There is no method `linaer`."
    ]


def test_all_faults_are_raised_together():
    with pytest.raises(RecipeFaults) as caught:
        parse("{method: linaer, sed: 3, models: [a]}", source="x.yaml")
    assert len(caught.value.faults) == 2
    assert "2 faults in x.yaml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_no_torch_on_the_way():
    import subprocess

    code = (
        "import sys; from solera.recipe import find_faults, parse, to_yaml, json_schema, digest\n"
        "r = parse('{method: linear, models: [a, b]}'); to_yaml(r); digest(r); json_schema()\n"
        "find_faults('{merge_method: linear, models: [{model: a}]}')\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ── recipes built in Python, and files ──────────────────────────────────────────────────────────────────────────────


def test_values_are_checked_too():
    node = Merge(
        "ties", (Operand(ModelRef("a"), {"density": 20.0}), Operand(Merge("linaer", (Operand(ModelRef("b")),))))
    )
    found = check_recipe(Recipe(node))
    assert [(f.where, f.what) for f in found] == [
        ("base", "ties needs a base."),
        ("models.0.parameters.density", "`density` is not usable."),
        ("models.1.model.method", "There is no method `linaer`."),
    ]
    assert check_recipe(Recipe(Merge("linear", (Operand(ModelRef("a")),)))) == ()


def test_files(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\xef\xbb\xbfmethod: linear\nmodels: [a]\n")
    assert load(path).source == str(path)
    path.write_text("method: linaer\nmodels: [a]\n")
    with pytest.raises(RecipeFaults) as caught:
        load(str(path))
    assert caught.value.faults[0].where == f"{path} line 1"


@pytest.mark.parametrize(("content", "what"), [(b"\xff\xfe", "not UTF-8"), (b"#" * 1_000_001, "too long")])
def test_files_that_are_no_recipes(tmp_path, content, what):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=what):
        file_text(path)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(RecipeError, match="cannot be read"):
            load(path)


# ── nothing a text holds makes the reader fail otherwise ────────────────────────────────────────────────────────────

WORDS = st.sampled_from(
    [
        "solera",
        "method",
        "merge_method",
        "models",
        "slices",
        "modules",
        "base",
        "base_model",
        "parameters",
        "rules",
        "match",
        "role",
        "layers",
        "layer_range",
        "sources",
        "model",
        "path",
        "merge",
        "lora",
        "loras",
        "revision",
        "label",
        "weight",
        "density",
        "t",
        "name",
        "tokenizer",
        "tokens",
        "source",
        "kind",
        "zero",
        "force",
        "output",
        "dtype",
        "shard",
        "seed",
        "compute",
        "extra",
        "each",
        "filter",
        "value",
        "linear",
        "ties",
        "slerp",
        "passthrough",
        "union",
        "a",
        "b",
        "0-3",
        "float32",
        "5GB",
    ]
)
SCALARS = WORDS | st.integers(-3, 30) | st.floats(-2, 2) | st.booleans() | st.none()
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)
HEAD = st.sampled_from([{"method": "linear"}, {"merge_method": "ties"}, {"solera": 1, "method": "slerp"}, {}])


@settings(max_examples=150, deadline=None)
@given(HEAD, st.dictionaries(WORDS, DATA, max_size=6))
def test_any_data_is_a_recipe_or_faults(head, body):
    import json

    text = json.dumps({**body, **head})
    for found in find_faults(text, "x.yaml"):
        assert found.what
        assert found.where


def test_registered_cards_are_what_is_asked(monkeypatch):
    monkeypatch.setattr(registry, "cards", dict)
    assert only("{method: linear, models: [a]}").what == "There is no method `linear`."


@pytest.mark.parametrize(
    "text",
    [
        "method: tise\nmodels: [{model: a, wieght: 1}]\nparameters: {density: 20}\n",
        "merge_method: tise\nmodels: [{model: a, parameters: {weight: x}}]\nparameters: {density: 20}\n",
    ],
)
def test_a_misspelt_method_hides_nothing(text):
    found = [f.what for f in find_faults(text)]
    assert found[0] == "There is no method `tise`."
    assert "ties needs a base." in found
    assert "`density` is not usable." in found
    assert len(found) == 4
