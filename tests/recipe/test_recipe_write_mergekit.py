"""Writing the mergekit dialect, where it can say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from solera.recipe import digest, parse, to_mergekit

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.yaml"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_came_from_the_dialect_goes_back(path):
    recipe = parse(path.read_text(encoding="utf-8"))
    text = to_mergekit(recipe)
    assert text is not None
    assert digest(parse(text)) == digest(recipe)


def test_a_native_recipe():
    recipe = parse(
        """
method: ties
variant: mergekit
base: org/base
models: [{model: org/a@v1+l, weight: 0.5}, {path: 'x+y', weight: 0.1}]
parameters: {density: [{filter: mlp, value: 0.5}, {value: 1.0}]}
tokenizer: union
output: {dtype: bfloat16}
"""
    )
    assert (
        to_mergekit(recipe)
        == """\
merge_method: ties
base_model: org/base
models:
  - {model: org/a@v1+l, parameters: {weight: 0.5}}
  - model: {model: {path: x+y}}
    parameters: {weight: 0.1}
parameters:
  density:
    - {filter: mlp, value: 0.5}
    - {value: 1.0}
dtype: float32
out_dtype: bfloat16
tokenizer: {source: union}
"""
    )


def test_weights_that_the_dialect_wants_are_written():
    text = to_mergekit(parse("{method: linear, models: [a, {model: b, weight: 2}]}"))
    assert "parameters: {weight: 1.0}" in text
    assert (
        to_mergekit(parse("{method: passthrough, models: [a]}"))
        == "merge_method: passthrough\nmodels:\n  - {model: a}\n"
    )


def test_nested_merges_become_documents_written_once():
    inner = "{merge: {method: linear, models: [{model: x, weight: 1}], name: soup}}"
    outer = f"{{merge: {{method: linear, models: [{inner}, y], parameters: {{weight: 1}}}}}}"
    text = to_mergekit(parse(f"{{method: slerp, base: {inner}, models: [{outer}], parameters: {{t: 0.5}}}}"))
    assert (
        text
        == """\
name: soup
merge_method: linear
models:
  - {model: x, parameters: {weight: 1}}
---
name: merge-2
merge_method: linear
models:
  - {model: soup}
  - {model: y}
parameters: {weight: 1}
---
merge_method: slerp
base_model: soup
models:
  - {model: merge-2}
parameters: {t: 0.5}
"""
    )


@pytest.mark.parametrize(
    "text",
    [
        "{method: ties, base: b, models: [a]}",
        "{method: ties, variant: mergekit, base: b, models: [a], rules: [{match: {role: norm}, method: copy}]}",
        "{method: ties, variant: mergekit, base: b, models: [a], parameters: {boundary: kth}}",
        "{method: linear, models: [a, b], parameters: {weight: [0, 1]}}",
        "{method: linear, models: [{model: a, subfolder: x}]}",
        "{method: linear, models: [{model: a, lora: {path: l, weight: 2}}]}",
        "{method: linear, models: [{model: a, loras: [l, m]}]}",
        "{method: linear, models: [a], compute: float64}",
        "{method: linear, models: [a], population: tensor}",
        "{method: linear, models: [a], output: {layout_from: z}}",
        "{method: slerp, base: b, models: [a], parameters: {t: 0.5}, output: {layout_from: a}}",
        "{method: linear, modules: {x: {models: [a]}, y: {method: passthrough, models: [a]}}}",
        "{method: linear, slices: [{sources: [a]}]}",
        "{method: linear, models: [a, a]}",
        "{method: slerp, base: a, models: [a], parameters: {t: 0.5}}",
    ],
)
def test_what_the_dialect_cannot_say(text):
    assert to_mergekit(parse(text)) is None
