"""The short form of model references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.errors import BadParameter
from solera.recipe.references import parse_lora, parse_model
from solera.types import LoraRef, ModelRef


def nowhere(path):
    return False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name", ModelRef("org/name")),
        ("org/name@main", ModelRef("org/name", "main")),
        ("org/name@refs/pr/1", ModelRef("org/name", "refs/pr/1")),
        ("org/name+org/lora", ModelRef("org/name", None, (LoraRef("org/lora"),))),
        ("org/name@v2+org/lora@v3", ModelRef("org/name", "v2", (LoraRef("org/lora", "v3"),))),
        ("a+b+c@1", ModelRef("a", None, (LoraRef("b"), LoraRef("c", "1")))),
        ("./some folder/model", ModelRef("./some folder/model")),
    ],
)
def test_short_forms(text, expected):
    assert parse_model(text, nowhere) == expected
    assert str(expected) == text


@pytest.mark.parametrize("text", ["", " ", "@main", "a@", "a@b@c", "a+", "+a", "a++b", "a+@v"])
def test_what_is_not_readable_is_refused(text):
    with pytest.raises(BadParameter) as caught:
        parse_model(text, nowhere)
    assert "{path: ..." in caught.value.fault.fix


def test_an_existing_path_wins_as_a_whole(tmp_path):
    folder = tmp_path / "a+b@c"
    folder.mkdir()
    assert parse_model(str(folder)) == ModelRef(str(folder))


def test_an_existing_part_wins(tmp_path):
    folder = tmp_path / "a@b"
    folder.mkdir()
    assert parse_model(f"{folder}+org/lora@v1") == ModelRef(str(folder), None, (LoraRef("org/lora", "v1"),))
    assert parse_lora(str(folder)) == LoraRef(str(folder))


NAMES = st.text(alphabet="abz09-_./", min_size=1, max_size=12)
REVISIONS = st.none() | NAMES


@given(NAMES, REVISIONS, st.lists(st.builds(LoraRef, NAMES, REVISIONS), max_size=3))
def test_the_short_form_reads_back(path, revision, loras):
    ref = ModelRef(path, revision, tuple(loras))
    assert parse_model(str(ref), nowhere) == ref
