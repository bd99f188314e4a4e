"""Recipes as people write them: all are read without faults, and to the values written here."""

from __future__ import annotations

from pathlib import Path

import pytest

from solera.recipe import bare, digest, parse, to_yaml

FOLDER = Path(__file__).parent / "corpus"
CORPUS = sorted(FOLDER.glob("*.yaml"))

SHAPES = {
    "breadcrumb_trail": ("ties", "base-7b", 3, 0),
    "chat_tokens": ("ties", "org/base", 2, 0),
    "dare_three": ("dare_ties", "org/base-7b", 3, 0),
    "duplicate_anchor": ("linear", None, 2, 0),
    "franken_44": ("passthrough", None, 0, 2),
    "frankenmerge_interleaved": ("passthrough", None, 0, 5),
    "karcher_five": ("karcher", None, 5, 0),
    "linear_soup": ("linear", None, 3, 0),
    "lora_each": ("task_arithmetic", "org/base", 2, 0),
    "model_stock_wide": ("model_stock", "org/base", 4, 0),
    "multi_pipeline": ("slerp", "merge", 1, 0),
    "nuslerp_deltas": ("nuslerp", "org/base", 2, 0),
    "old_style_strays": ("ties", "org/base", 1, 0),
    "slerp_gradient": ("slerp", "org/left", 0, 1),
    "slerp_models": ("slerp", "org/left", 1, 0),
    "task_vectors_per_slice": ("task_arithmetic", "org/base", 0, 2),
    "ties_gradients": ("ties", "org/llama", 2, 0),
    "vision_modules": ("linear", None, 0, 0),
}


def test_the_table_is_complete():
    assert {path.stem for path in CORPUS} == set(SHAPES)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_each_is_read(path):
    recipe = parse(path.read_text(encoding="utf-8"), source=path.name)
    merge = recipe.merge
    base = None if merge.base is None else getattr(merge.base, "path", "merge")
    assert (merge.method, base, len(merge.models), len(merge.slices)) == SHAPES[path.stem]
    assert recipe.dialect == "mergekit"
    assert merge.variant == (None if merge.method == "passthrough" else "mergekit")


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_each_reads_back_from_the_native_form(path):
    recipe = parse(path.read_text(encoding="utf-8"))
    again = parse(to_yaml(recipe))
    assert bare(again) == bare(recipe)
    assert digest(again) == digest(recipe)
    assert again.warnings == ()


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_warnings_are_said_in_the_file(path):
    text = path.read_text(encoding="utf-8")
    expected = [line.removeprefix("# warns: ") for line in text.splitlines() if line.startswith("# warns: ")]
    found = parse(text, source=path.name).warnings
    assert len(found) == len(expected)
    assert all(part in warning for part, warning in zip(expected, found, strict=True))
