"""YAML to nodes: lines, scalars, and everything that is refused."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solera.errors import RecipeFaults
from solera.recipe.text import MAX_BYTES, MAX_DEPTH, documents, plain, scalar_of


def value(text):
    (node,) = documents(text)
    return plain(node)


def faults(text):
    with pytest.raises(RecipeFaults) as caught:
        documents(text, "x.yaml")
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-5", 1e-5),
        ("1.", 1.0),
        (".5", 0.5),
        ("-3", -3),
        ("+3", 3),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("TRUE", True),
        ("no", "no"),
        ("", None),
        ("null", None),
        ("-.inf", -math.inf),
        ("٣", "٣"),
    ],
)
def test_scalars(text, expected):
    got = scalar_of(text)
    assert got == expected
    assert type(got) is type(expected)


def test_quotes_make_text():
    assert value("{a: '1', b: \"true\", c: 1}") == {"a": "1", "b": "true", "c": 1}


def test_keys_are_text_as_written():
    assert value("{1: a, no: b, 1e5: c}") == {"1": "a", "no": "b", "1e5": "c"}


def test_every_value_knows_its_line():
    (node,) = documents("a: 1\nb:\n  - x\n  - c: 2\n    d: 3\n")
    assert [node.walk(path)[1] for path in (("a",), ("b",), ("b", 1), ("b", 1, "d"), ("b", 9), ())] == [
        1,
        2,
        4,
        5,
        2,
        1,
    ]


def test_anchors_and_merge_keys():
    text = "base: &b {weight: 0.5, density: 0.2}\na: {<<: *b, weight: 0.7}\nb: *b\nc: {<<: [{density: 0.9}, *b]}"
    assert value(text) == {
        "base": {"weight": 0.5, "density": 0.2},
        "a": {"density": 0.2, "weight": 0.7},
        "b": {"weight": 0.5, "density": 0.2},
        "c": {"density": 0.9, "weight": 0.5},
    }


def test_a_quoted_merge_key_is_a_key():
    assert value('{"<<": 1}') == {"<<": 1}


def test_several_documents():
    assert [plain(node) for node in documents("a: 1\n---\nb: 2\n")] == [{"a": 1}, {"b": 2}]
    assert documents("") == ()
    assert documents("# only a comment\n") == ()


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['true']",
        "a: !!python/name:os.system",
        "!!python/module:os x",
        "a: !include other.yaml",
        "a: !!float 1",
        "- !x {}",
    ],
)
def test_tags_are_refused(text):
    (fault,) = faults(text)
    assert "tag" in fault.what
    assert fault.where == "x.yaml line 1"


def test_billion_laughs_is_refused_quickly():
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    began = time.perf_counter()
    (fault,) = faults("\n".join(rows))
    assert time.perf_counter() - began < 2
    assert fault.what == "The YAML is too large."


def test_merge_key_bomb_is_refused():
    rows = ["a0: &a0 {k0: 1, k1: 2}"]
    rows += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 12)}], k{i}: 1}}" for i in range(1, 12)]
    (fault,) = faults("\n".join(rows))
    assert fault.what == "The YAML is too large."


def test_a_value_that_contains_itself_is_refused():
    (fault,) = faults("a: &x [1, *x]")
    assert fault.what == "A value contains itself."


def test_unknown_alias_is_refused():
    (fault,) = faults("a: *nothing")
    assert "anchor" in fault.what


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5_000, "- " * 3_000 + "x"])
def test_deep_nesting_is_refused(text):
    (fault,) = faults(text)
    assert str(MAX_DEPTH) in fault.want


def test_deep_nesting_through_aliases_is_refused():
    rows = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 80)]
    (fault,) = faults("\n".join(rows))
    assert str(MAX_DEPTH) in fault.want


def test_long_text_is_refused():
    (fault,) = faults("a: " + "x" * MAX_BYTES)
    assert fault.what == "The recipe is too long."


def test_duplicate_keys_are_all_reported():
    found = faults("a: 1\nb: 2\na: 3\nc: {d: 1, d: 2}\n")
    assert [(fault.what, fault.where, fault.got) for fault in found] == [
        ("The key `a` is given twice.", "x.yaml line 3", "first on line 1"),
        ("The key `d` is given twice.", "x.yaml line 4", "first on line 4"),
    ]


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\ta: 1", "a: 1\n b: 2", "{a: 1", "a: 'x", "@a", "%BAD"])
def test_what_is_not_yaml_says_where(text):
    (fault,) = faults(text)
    assert fault.what == "The text is not YAML."
    assert fault.where.startswith("x.yaml line ")


def test_keys_must_be_words():
    (fault,) = faults("? [a, b]\n: 1")
    assert fault.what == "A key must be a word."


def read_or_refused(text):
    try:
        documents(text)
    except RecipeFaults as error:
        return bool(error.faults)
    return True


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_the_house_form(text):
    assert read_or_refused(text)


@settings(deadline=None)
@given(st.text(alphabet="{}[]:,&*!<>|-? ab\n'\"#%@", max_size=40))
def test_any_yaml_like_text_is_read_or_refused_in_the_house_form(text):
    assert read_or_refused(text)
