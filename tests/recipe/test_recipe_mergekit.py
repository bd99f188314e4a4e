# ruff: noqa: FBT003 - values are written as recipes have them
"""The mergekit dialect becomes the same values."""

from __future__ import annotations

import pytest

from solera.errors import RecipeFaults
from solera.recipe import Case, Cases, Gradient, Merge, Operand, Output, Slice, TokenizerSpec, TokenSource, parse
from solera.types import DType, LoraRef, ModelRef

A, B, C, BASE = (ModelRef(name) for name in ("a", "b", "c", "base"))


def test_ties_with_everything():
    got = parse(
        """
models:
  - model: base
    parameters: {density: 7}
  - model: a
    parameters:
      density: [1, 0.7, 0.1]
      weight: 1.0
  - model: b
    parameters:
      density: 0.5
      weight:
        - filter: mlp
          value: 0.5
        - value: 0
merge_method: ties
base_model: base
parameters:
  normalize: true
  int8_mask: true
dtype: float32
out_dtype: float16
""",
        source="r.yml",
    )
    assert got.merge == Merge(
        "ties",
        (
            Operand(A, {"density": Gradient((1.0, 0.7, 0.1)), "weight": 1.0}),
            Operand(B, {"density": 0.5, "weight": Cases((Case("mlp", 0.5), Case(None, 0)))}),
        ),
        base=BASE,
        parameters={"normalize": True},
        variant="mergekit",
        where="r.yml line 2",
    )
    assert got.output == Output(DType.F16, layout_from=BASE)
    assert got.extra == {"mergekit_dtype": "float32", "out_dtype": "float16"}
    assert (got.dialect, got.compat_storage, got.warnings) == ("mergekit", False, ())


@pytest.mark.parametrize(
    ("keys", "dtype"),
    [
        ("", None),
        ("dtype: bfloat16", DType.BF16),
        ("dtype: torch.float16", DType.F16),
        ("{dtype: float32, out_dtype: bfloat16}", DType.BF16),
        ("out_dtype: float16", DType.F16),
    ],
)
def test_output_dtypes(keys, dtype):
    text = keys.strip("{}").replace(", ", "\n")
    got = parse(f"merge_method: linear\nmodels: [{{model: a, parameters: {{weight: 1}}}}]\n{text}")
    assert got.output.dtype is dtype


def test_our_own_keys():
    got = parse("{merge_method: passthrough, models: [{model: a}], compat: storage, seed: 7}")
    assert (got.compat_storage, got.seed) == (True, 7)


def merge(text, method="ties", base="base"):
    head = f"merge_method: {method}\n" + (f"base_model: {base}\n" if base else "")
    return parse(head + text)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("a", A),
        ("a@v1+l@v2", ModelRef("a", "v1", (LoraRef("l", "v2"),))),
        ("{model: a}", A),
        ("{model: {path: 'a+b', revision: r}}", ModelRef("a+b", "r")),
        ("{model: {path: a}, lora: {path: l, revision: r}}", ModelRef("a", None, (LoraRef("l", "r"),))),
        ("{model: a, lora: l}", ModelRef("a", None, (LoraRef("l"),))),
        ("{path: a}", A),
    ],
)
def test_references(form, expected):
    assert merge(f"models: [{{model: {form}}}]", "passthrough", None).merge.models[0].model == expected


def test_override_architecture_is_a_warning():
    got = merge("models: [{model: {model: a, override_architecture: X}}]", "passthrough", None)
    assert "override_architecture" in got.warnings[0]


WEIGHTS = "{weight: 0.5}"


def listed(*names):
    return "models: [" + ", ".join(f"{{model: {n}, parameters: {WEIGHTS}}}" for n in names) + "]"


@pytest.mark.parametrize(
    ("method", "base", "names", "models", "maths_base", "donor"),
    [
        ("ties", "base", "base a b", "a b", "base", "base"),
        ("ties", "base", "a base b", "a b", "base", "base"),
        ("ties", "base", "a b", "a b", "base", "base"),
        ("linear", None, "a b", "a b", None, None),
        ("linear", "b", "a b", "a b", None, "b"),
        ("linear", "base", "a b", "a b", None, "base"),
        ("nuslerp", "base", "a b", "a b", "base", "base"),
        ("nuslerp", "base", "a base b", "a b", "base", "base"),
        ("nuslerp", None, "a b", "a b", None, None),
    ],
)
def test_who_is_the_base(method, base, names, models, maths_base, donor):
    got = merge(listed(*names.split()), method, base)
    assert [o.model.path for o in got.merge.models] == models.split()
    assert got.merge.base == (None if maths_base is None else ModelRef(maths_base))
    assert got.output.layout_from == (None if donor is None else ModelRef(donor))


def test_slerp_starts_at_the_base():
    got = merge("models: [{model: a}, {model: base}]\nparameters: {t: 0.3}", "slerp")
    assert (got.merge.base, got.merge.models) == (BASE, (Operand(A),))


@pytest.mark.parametrize("names", ["a base", "a"])
def test_karcher_counts_its_base_as_a_model(names):
    entries = ", ".join(f"{{model: {name}}}" for name in names.split())
    got = merge(f"models: [{entries}]", "karcher")
    assert got.merge.models == (Operand(A), Operand(BASE))
    assert got.merge.base is None
    assert len(got.warnings) == (0 if "base" in names else 1)


def test_linear_counts_an_unlisted_base_only_where_it_has_a_weight():
    assert len(merge("models: [{model: a}, {model: b}]\nparameters: {weight: 0.3}", "linear").merge.models) == 3
    assert len(merge(listed("a", "b"), "linear").merge.models) == 2


def test_passthrough_takes_one_model_whatever_the_base():
    got = merge("models: [{model: a}]", "passthrough")
    assert (got.merge.models, got.output.layout_from) == ((Operand(A),), BASE)


def test_in_slices_an_unlisted_base_never_counts():
    got = merge("slices: [{sources: [{model: a, layer_range: [0, 2]}]}]\nparameters: {weight: 1}", "linear")
    assert got.merge.slices[0].sources == (Operand(A, {}, (0, 2)),)


def test_slices_with_bases_of_their_own():
    got = merge(
        """
slices:
  - sources:
      - {model: a, layer_range: [0, 2], parameters: {weight: 0.4}}
      - {model: base, layer_range: [1, 3], parameters: {weight: 9}}
  - sources:
      - {model: a, layer_range: [2, 4]}
      - {model: c, layer_range: [1, 3]}
    base_model: c
    residual_weight: 0.5
    parameters: {density: 0.5}
  - sources: [{model: a, layer_range: [0, 1]}]
parameters: {weight: 0.1}
"""
    )
    assert got.merge.slices == (
        Slice((Operand(A, {"weight": 0.4}, (0, 2)),), Operand(BASE, {}, (1, 3))),
        Slice((Operand(A, {}, (2, 4)),), Operand(C, {}, (1, 3)), {"density": 0.5}),
        Slice((Operand(A, {}, (0, 1)),)),
    )
    assert got.warnings == ()


def test_a_slices_own_base_need_not_be_listed():
    text = "slices: [{sources: [{model: a, layer_range: [0, 2]}], base_model: c}]\nparameters: {weight: 1}"
    got = merge(text, "task_arithmetic", None)
    assert got.merge.slices == (Slice((Operand(A, {}, (0, 2)),), Operand(C)),)
    assert merge(text, "linear", None).merge.slices[0].base is None


def test_modules():
    got = merge(
        "modules: {default: {models: [{model: a}, {model: base}], parameters: {weight: 2}}}\nparameters: {weight: 5}"
    )
    inner = got.merge.modules["default"]
    assert (inner.method, inner.base, inner.variant) == ("ties", BASE, "mergekit")
    assert (inner.parameters, inner.models) == ({"weight": 2}, (Operand(A),))
    assert got.merge.parameters == {"weight": 5}


def test_a_model_listed_twice_counts_once():
    got = merge(
        "models: [{model: a, parameters: {weight: 0.1}}, {model: a, parameters: {weight: 1}}, {model: b}]\nparameters: {weight: 2}",
        "linear",
        None,
    )
    assert got.merge.models == (Operand(A, {"weight": 0.1}), Operand(B))
    assert "listed twice" in got.warnings[0]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('"0.5"', 0.5),
        ("true", 1.0),
        ("1e-1", 0.1),
        ('["1", true, 0.5]', Gradient((1.0, 1.0, 0.5))),
        ("{filter: mlp, value: '2'}", Cases((Case("mlp", 2.0),))),
        ("[{filter: mlp, value: [true, 0], note: x}]", Cases((Case("mlp", Gradient((1.0, 0.0))),))),
    ],
)
def test_numbers_are_read_as_the_dialect_does(raw, expected):
    assert (
        merge(f"models: [{{model: a, parameters: {{weight: {raw}}}}}]", "linear", None)
        .merge.models[0]
        .parameters["weight"]
        == expected
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("false", False),
        ('"false"', False),
        ("no", False),
        ("off", False),
        ("0", False),
        ("0.0", False),
        ("1", True),
        ("yes", True),
        ("[0, 1, 1]", Gradient((False, True, True))),
        ("[{filter: mlp, value: 0}, {value: true}]", Cases((Case("mlp", False), Case(None, True)))),
    ],
)
def test_booleans_are_read_as_the_dialect_does(raw, expected):
    got = merge(listed("a") + f"\nparameters: {{normalize: {raw}}}", "linear", None).merge.parameters["normalize"]
    assert got == expected
    assert isinstance(got, bool) == isinstance(expected, bool)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [{model: a, parameters: {wieght: 3, weight: 1}}]", "did you mean `weight`?"),
        ("models: [{model: a, parameters: {weight: 1, normalize: false}}]", "under one model it is ignored"),
        ("models: [{model: a, wieght: 3, parameters: {weight: 1}}]", "the key `wieght` is ignored"),
        ("models: [{model: a, parameters: {weight: 1}}]\ntokeniser_source: base", "did you mean `tokenizer_source`?"),
        ("models: [{model: a, parameters: {weight: 1}}]\nparameters: {density: 0.5}", "no parameter `density`"),
        ("models: [{model: a, parameters: {weight: 1}}]\ntokenizer: {sources: union}", "did you mean `source`?"),
    ],
)
def test_strays_are_warnings_with_a_line(text, message):
    got = merge(text, "linear", None)
    (warning,) = got.warnings
    assert message in warning
    assert warning.startswith("recipe line ")


def test_keys_without_effect_are_silent():
    got = merge(listed("a") + "\nparameters: {rescale: true, int8_mask: true}", "task_arithmetic")
    assert (got.warnings, got.merge.parameters) == ((), {})


def test_karcher_knows_no_weights():
    got = merge("models: [{model: a, parameters: {weight: 3}}]", "karcher", None)
    assert got.merge.models == (Operand(A),)
    assert "no parameter `weight`" in got.warnings[0]


def test_longer_names_of_parameters():
    got = merge(listed("a", "b") + "\nparameters: {nuslerp_row_wise: true, nuslerp_flatten: false}", "nuslerp", None)
    assert got.merge.parameters == {"row_wise": True, "flatten": False}


def test_methods_without_that_variant():
    assert merge("models: [{model: a}]", "passthrough", None).merge.variant is None


def test_tokenizers():
    got = merge(
        listed("a")
        + """
tokenizer:
  tokens:
    <a>: {source: a, force: true}
    <b>: {source: {kind: zero}}
    <c>: {source: {kind: model_token, model: b, token: x}}
    <d>: {source: {model: b, token_id: 2}}
    <e>: {source: {model: {path: a}}}
  pad_to_multiple_of: 8
chat_template: auto
"""
    )
    assert got.tokenizer == TokenizerSpec(
        "union",
        {
            "<a>": TokenSource("model", A, force=True),
            "<b>": TokenSource("zero"),
            "<c>": TokenSource("model_token", B, "x"),
            "<d>": TokenSource("model_token", B, None, 2),
            "<e>": TokenSource("model", A),
        },
        8,
    )
    assert got.chat_template == "auto"


@pytest.mark.parametrize(
    ("source", "expected"), [("union", "union"), ("base", "base"), ("b", B), ("{model: {path: b}}", B)]
)
def test_tokenizer_source(source, expected):
    assert merge(listed("a") + f"\ntokenizer_source: {source}").tokenizer == TokenizerSpec(expected)


MULTI = """
name: first
merge_method: linear
models: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: 1}}]
---
merge_method: slerp
base_model: first
models: [{model: second}]
parameters: {t: 0.5}
tokenizer_source: first
---
name: second
merge_method: ties
base_model: base
models: [{model: {model: {path: first}}, parameters: {weight: 1}}]
"""


def test_documents_in_any_order():
    got = parse(MULTI)
    first, second = got.merge.base, got.merge.models[0].model
    assert (first.name, first.method) == ("first", "linear")
    assert (second.method, second.base, second.models[0].model) == ("ties", BASE, first)
    assert got.tokenizer == TokenizerSpec(A)
    assert got.output.layout_from == A


def test_the_last_document_that_no_other_uses_is_the_result():
    got = parse(MULTI.replace("---\nmerge_method: slerp", "---\nname: top\nmerge_method: slerp"))
    assert (got.merge.method, got.merge.name) == ("slerp", "top")


def test_an_unused_document_is_a_warning():
    got = parse(
        "name: x\nmerge_method: passthrough\nmodels: [{model: a}]\n---\nmerge_method: passthrough\nmodels: [{model: b}]\n"
    )
    assert got.warnings == ("recipe line 1: the document `x` is not used",)


def test_rounding_between_documents_is_a_warning():
    got = parse(
        "name: x\ndtype: bfloat16\nmerge_method: passthrough\nmodels: [{model: a}]\n---\nmerge_method: passthrough\nmodels: [{model: x}]\n"
    )
    assert "stays in float32" in got.warnings[0]


def test_an_earlier_document_cannot_change_the_vocabulary():
    text = "name: x\ntokenizer_source: union\nmerge_method: passthrough\nmodels: [{model: a}]\n---\nmerge_method: passthrough\nmodels: [{model: x}]\n"
    with pytest.raises(RecipeFaults, match="cannot change the vocabulary"):
        parse(text)
    assert parse(text + "tokenizer_source: union\n").tokenizer == TokenizerSpec("union")
    assert parse(text.replace("union", "base")).tokenizer is None
