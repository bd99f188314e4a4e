"""Bits of masks, and the mathematics of TALL masks and EMR on blocks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solera.errors import BadParameter, ShapeMismatch
from solera.ops.masks import agrees, bits_of, bytes_for, elected_sign, largest_agreeing, mask_of, one_of, stands_out

FIRST = torch.tensor([[0.4, -0.2, 0.1], [0.0, 0.3, -0.5]])
SECOND = torch.tensor([[0.25, 0.45, -0.35], [0.05, -0.15, -0.22]])


@given(st.lists(st.booleans(), max_size=70))
def test_bits_come_back_whatever_their_number(entries):
    mask = torch.tensor(entries, dtype=torch.bool)
    bits = bits_of(mask)
    assert bits.dtype is torch.uint8
    assert bits.numel() == bytes_for(len(entries)) == -(-len(entries) // 8)
    assert torch.equal(mask_of(bits, mask.shape), mask)


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 4), (7, 1, 2, 2)])
def test_bits_keep_any_shape(shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.equal(mask_of(bits_of(mask), shape), mask)


def test_the_first_entry_is_the_lowest_bit_and_the_rest_is_zero():
    assert bits_of(torch.tensor([True] + [False] * 8 + [True])).tolist() == [1, 2]


def test_blocks_of_whole_bytes_are_the_whole():
    mask = torch.rand(100, generator=torch.Generator().manual_seed(1)) < 0.3
    assert torch.equal(torch.cat([bits_of(mask[:64]), bits_of(mask[64:])]), bits_of(mask))


@pytest.mark.parametrize(
    "bits", [torch.zeros(1, dtype=torch.uint8), torch.zeros(2), torch.zeros(1, 2, dtype=torch.uint8)]
)
def test_bits_of_another_size_or_type_are_refused(bits):
    with pytest.raises(ShapeMismatch, match="2 bytes for 9 bits"):
        mask_of(bits, (9,))


@pytest.mark.parametrize(("threshold", "first", "second"), [
    (0.4, [[1, 1, 0], [0, 1, 1]], [[1, 1, 1], [1, 1, 1]]),
    (1.0, [[1, 0, 0], [0, 1, 1]], [[0, 1, 1], [1, 0, 0]]),
])  # fmt: skip
def test_worked_masks(threshold, first, second):
    added = FIRST + SECOND
    assert stands_out(FIRST, added, threshold).int().tolist() == first
    assert stands_out(SECOND, added, threshold).int().tolist() == second


def test_worked_election():
    values = torch.stack([FIRST, SECOND])
    torch.testing.assert_close(largest_agreeing(values), torch.tensor([[0.4, 0.45, -0.35], [0.05, 0.3, -0.5]]))
    assert agrees(FIRST, values).int().tolist() == [[1, 0, 0], [0, 1, 1]]
    assert agrees(SECOND, values).int().tolist() == [[1, 1, 1], [1, 0, 1]]
    assert elected_sign(values).tolist() == [[1, 1, -1], [1, 1, -1]]


def test_a_task_that_is_none_is_named():
    with pytest.raises(BadParameter, match="0 to 1"):
        one_of(torch.zeros(2, 3), 2)
