"""Ranges, sizes and types as recipes write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.errors import BadParameter
from solera.recipe.parts import chat_template, half_open, layer_range, output_dtype, size_bytes, size_text
from solera.types import DType


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("5GB", 5 * 10**9),
        ("5 gb", 5 * 10**9),
        ("5G", 5 * 10**9),
        ("1.5MB", 1_500_000),
        ("2GiB", 2 * 1024**3),
        ("512KiB", 512 * 1024),
        ("1TB", 10**12),
        ("77", 77),
        (77, 77),
    ],
)
def test_sizes(raw, expected):
    assert size_bytes(raw) == expected


@pytest.mark.parametrize("raw", ["", "GB", "-5GB", "5PB", "0", 0, -1, "5GBs", "1e9", "nan", "٣GB"])
def test_what_is_no_size(raw):
    with pytest.raises(BadParameter):
        size_bytes(raw)


@given(st.integers(1, 10**14))
def test_sizes_read_back(count):
    assert size_bytes(size_text(count)) == count


@pytest.mark.parametrize("raw", ["", "a", "3-1", "-1", "1-", [1], [1, 2, 3], [3, 1], [-1, 2], -1])
def test_what_is_no_range(raw):
    with pytest.raises(BadParameter):
        layer_range(raw)


@pytest.mark.parametrize("raw", [[], [1], [2, 1], [-1, 1], [1, 2, 3]])
def test_what_is_no_half_open_range(raw):
    with pytest.raises(BadParameter):
        half_open(raw)


def test_an_empty_half_open_range_is_a_range():
    assert half_open([4, 4]) == (4, 4)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("bf16", DType.BF16), ("torch.float16", DType.F16), ("F32", DType.F32), ("fp64", DType.F64)],
)
def test_output_types(raw, expected):
    assert output_dtype(raw) is expected


@pytest.mark.parametrize("raw", ["int8", "float8_e4m3fn", "bool", "", "bfloat"])
def test_types_that_weights_are_not_written_in(raw):
    with pytest.raises(BadParameter):
        output_dtype(raw)


def test_chat_templates():
    assert [chat_template(raw) for raw in ("auto", "llama3", "{{ x }}")] == ["auto", "llama3", "{{ x }}"]
    with pytest.raises(BadParameter, match="did you mean `mistral`"):
        chat_template("mistrall")
