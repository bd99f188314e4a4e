"""The native form becomes values."""

from __future__ import annotations

import pytest

from solera.errors import RecipeFaults
from solera.recipe import (
    Case,
    Cases,
    Gradient,
    Match,
    Merge,
    Operand,
    Output,
    Rule,
    Slice,
    TokenizerSpec,
    TokenSource,
    parse,
)
from solera.types import DType, LoraRef, ModelRef

A, B, BASE = ModelRef("org/a"), ModelRef("org/b"), ModelRef("org/base")


def test_the_recipe_of_the_design():
    got = parse(
        """
solera: 1
base: org/base
models:
  - model: org/math
    weight: 0.6
  - model: org/code+org/code-lora
    weight: 0.4
method: ties
parameters: {density: 0.3}
rules:
  - match: {role: mlp, layers: 0-11}
    parameters: {density: 0.5}
  - match: {role: norm}
    method: linear
tokenizer: {source: union}
output: {dtype: bfloat16, shard: 5GB}
""",
        source="r.yaml",
    )
    assert got.merge == Merge(
        "ties",
        (
            Operand(ModelRef("org/math"), {"weight": 0.6}),
            Operand(ModelRef("org/code", None, (LoraRef("org/code-lora"),)), {"weight": 0.4}),
        ),
        base=BASE,
        parameters={"density": 0.3},
        rules=(Rule(Match(("mlp",), (0, 11)), None, {"density": 0.5}), Rule(Match(("norm",)), "linear")),
        where="r.yaml line 2",
    )
    assert got.tokenizer == TokenizerSpec("union")
    assert got.output == Output(DType.BF16)
    assert (got.dialect, got.source, got.seed, got.compute, got.warnings) == ("solera", "r.yaml", 0, DType.F32, ())


def models(text):
    return parse(f"method: linear\nmodels:\n{text}").merge.models


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("org/a", Operand(A)),
        ("{model: org/a}", Operand(A)),
        ("{path: 'a+b@c'}", Operand(ModelRef("a+b@c"))),
        ("{model: org/a, revision: v2}", Operand(ModelRef("org/a", "v2"))),
        ("{path: org/a, lora: l@v1}", Operand(ModelRef("org/a", None, (LoraRef("l", "v1"),)))),
        (
            "{path: org/a, lora: {path: 'l@v1', weight: 0.5}}",
            Operand(ModelRef("org/a", None, (LoraRef("l@v1", None, 0.5),))),
        ),
        (
            "{path: org/a, loras: [l, {path: m, revision: r}]}",
            Operand(ModelRef("org/a", None, (LoraRef("l"), LoraRef("m", "r")))),
        ),
        ("{model: 'org/a+l', lora: m}", Operand(ModelRef("org/a", None, (LoraRef("l"), LoraRef("m"))))),
        ("{model: org/a, subfolder: text}", Operand(ModelRef("org/a", subfolder="text"))),
        ("{model: org/a, label: one, weight: 0.5}", Operand(A, {"weight": 0.5}, label="one")),
        ("{model: org/a, parameters: {weight: 0.5}}", Operand(A, {"weight": 0.5})),
        ("{model: org/a, weight: [0, 1]}", Operand(A, {"weight": Gradient((0.0, 1.0))})),
        (
            "{model: org/a, weight: [{filter: mlp, value: 2}, {value: 1}]}",
            Operand(A, {"weight": Cases((Case("mlp", 2), Case(None, 1)))}),
        ),
    ],
)
def test_entries_of_models(entry, expected):
    assert models(f"  - {entry}\n") == (expected,)


def test_models_by_label():
    assert models("  one: org/a\n  two: {model: org/b, weight: 0.5}\n  org/c: {weight: 0.1}\n  org/d:\n") == (
        Operand(A, label="one"),
        Operand(B, {"weight": 0.5}, label="two"),
        Operand(ModelRef("org/c"), {"weight": 0.1}),
        Operand(ModelRef("org/d")),
    )


def test_merges_in_the_place_of_models():
    got = parse(
        """
method: ties
base: {merge: {method: linear, models: [org/a, org/b], name: middle}}
models:
  - {merge: {method: linear, models: [org/a]}, weight: 0.5, label: inner}
  - org/b
""",
        source="r",
    ).merge
    assert got.base == Merge("linear", (Operand(A), Operand(B)), name="middle", where="r line 3")
    assert got.models[0] == Operand(Merge("linear", (Operand(A),), where="r line 5"), {"weight": 0.5}, label="inner")


def test_each_gives_every_model_its_own_value():
    got = parse("{method: linear, models: [org/a, {model: org/b, weight: 9}], parameters: {weight: {each: [1, 2]}}}")
    assert [o.parameters for o in got.merge.models] == [{"weight": 1}, {"weight": 9}]
    assert got.merge.parameters == {}


def test_each_wants_one_value_per_model():
    with pytest.raises(RecipeFaults, match="one value per model"):
        parse("{method: linear, models: [a, b], parameters: {weight: {each: [1, 2, 3]}}}")


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{role: [mlp, norm]}", Match(("mlp", "norm"))),
        ("{layers: 3}", Match(layers=(3, 3))),
        ("{layers: '3'}", Match(layers=(3, 3))),
        ("{layers: [2, 5]}", Match(layers=(2, 5))),
        ("{layers: 2 - 5}", Match(layers=(2, 5))),
        ("{name: '*.bias', module: vision}", Match(name="*.bias", module="vision")),
        ("{}", Match()),
    ],
)
def test_matches(match, expected):
    text = f"{{method: linear, models: [a, b], rules: [{{match: {match}, parameters: {{normalize: false}}}}]}}"
    assert parse(text).merge.rules == (Rule(expected, None, {"normalize": False}),)


@pytest.mark.parametrize(
    ("models_", "expected"),
    [
        ("[{weight: 1}, {}, {weight: 2}]", {0: {"weight": 1}, 2: {"weight": 2}}),
        ("[null, {weight: 1}]", {1: {"weight": 1}}),
        ("{1: {weight: 1}}", {1: {"weight": 1}}),
        ("{second: {weight: 1}, c: {weight: 2}}", {1: {"weight": 1}, 2: {"weight": 2}}),
    ],
)
def test_rules_speak_of_single_models(models_, expected):
    text = f"{{method: linear, models: [a, {{model: b, label: second}}, c], rules: [{{match: {{role: mlp}}, models: {models_}}}]}}"
    assert parse(text).merge.rules[0].model_parameters == expected


def test_a_rule_takes_one_value_per_model():
    text = "{method: linear, models: [a, b], rules: [{match: {role: mlp}, parameters: {weight: {each: [1, 2]}, normalize: false}}]}"
    assert parse(text).merge.rules == (
        Rule(Match(("mlp",)), None, {"normalize": False}, {0: {"weight": 1}, 1: {"weight": 2}}),
    )


def test_slices():
    got = parse(
        """
method: ties
base: org/base
slices:
  - sources:
      - {model: org/a, layers: 0-3, weight: 0.5}
      - {model: org/b, layer_range: [4, 8]}
    base: {model: org/base, layers: [0, 3]}
    parameters: {density: 0.5}
  - sources: [{model: org/a, layer_range: [4, 4]}]
"""
    ).merge
    assert got.slices == (
        Slice(
            (Operand(A, {"weight": 0.5}, (0, 4)), Operand(B, {}, (4, 8))), Operand(BASE, {}, (0, 4)), {"density": 0.5}
        ),
        Slice((Operand(A, {}, (4, 4)),)),
    )


def test_modules_inherit_what_they_leave_out():
    got = parse(
        """
method: ties
variant: mergekit
base: org/base
parameters: {density: 0.5}
modules:
  text: {models: [org/a, org/b]}
  vision: {method: linear, variant: null, models: [org/a]}
  audio: {method: ties, base: org/b, models: [org/a]}
  video: {method: nuslerp, base: null, models: [org/a, org/b]}
  depth: {method: nuslerp, models: [org/a, org/b]}
"""
    ).merge
    text, vision, audio, video, depth = got.modules.values()
    assert (video.base, depth.base) == (None, BASE)
    assert (text.method, text.variant, text.base) == ("ties", "mergekit", BASE)
    assert (vision.method, vision.variant, vision.base) == ("linear", None, None)
    assert (audio.base, audio.models) == (B, (Operand(A),))


def test_what_stands_beside_the_merge():
    got = parse(
        """
solera: 1
name: mix
method: linear
models: [org/a]
tokenizer:
  source: {path: org/a, revision: r}
  pad_to_multiple_of: 64
  tokens:
    <a>: {source: org/b, force: true}
    <b>: {source: {kind: zero}}
    <c>: {source: {kind: model_token, model: org/a, token: x}}
    <d>: {source: {model: org/a, token_id: 3}}
    <e>: {source: {path: 'a+b'}}
chat_template: chatml
output: {dtype: torch.float16, shard: 500MB, layout: leaves, layout_from: org/b, copy_code: true}
seed: 18446744073709551615
compute: float64
compat: storage
nonfinite: keep
population: tensor
"""
    )
    assert got.merge.name == "mix"
    assert got.tokenizer == TokenizerSpec(
        ModelRef("org/a", "r"),
        {
            "<a>": TokenSource("model", B, force=True),
            "<b>": TokenSource("zero"),
            "<c>": TokenSource("model_token", A, "x"),
            "<d>": TokenSource("model_token", A, None, 3),
            "<e>": TokenSource("model", ModelRef("a+b")),
        },
        64,
    )
    assert got.output == Output(DType.F16, 500_000_000, B, "leaves", copy_code=True)
    assert (got.chat_template, got.seed, got.compute, got.compat_storage) == ("chatml", 2**64 - 1, DType.F64, True)
    assert (got.nonfinite, got.population) == ("keep", "tensor")


def test_documents_that_use_each_other():
    text = """
name: first
method: linear
models: [org/a, org/b]
---
solera: 1
method: ties
base: org/base
models: [first, {model: first, weight: 0.5}, {path: first}]
output: {layout_from: first}
seed: 3
"""
    got = parse(text, source="r")
    inner = Merge("linear", (Operand(A), Operand(B)), name="first", where="r line 2")
    assert got.merge.models == (Operand(inner), Operand(inner, {"weight": 0.5}), Operand(ModelRef("first")))
    assert (got.output.layout_from, got.seed) == (A, 3)


def test_a_lone_document_may_share_its_name_with_a_model():
    assert parse("{name: a, method: linear, models: [a]}").merge.models == (Operand(ModelRef("a")),)


def test_unknown_keys_are_warnings_when_not_strict():
    got = parse("{method: linear, models: [a], sed: 3}", source="r.yaml", strict=False)
    assert got.warnings == ("r.yaml line 1: the key `sed` is ignored; did you mean `seed`?",)


def test_the_text_is_kept():
    text = "# why\n{method: linear, models: [a]}\n"
    assert parse(text).text == text
