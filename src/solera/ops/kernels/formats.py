"""How the bits of each element type are read and written, as plain numbers that compiled loops can use.

Narrow types (fp16, fp8) are widened by moving their bits into those of a float32 and correcting the exponent, without
ever making a subnormal float32 on the way, which some processors handle slowly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solera.types import DType

WIDE, BRAIN, NARROW_2, NARROW_1 = 0, 1, 2, 3
"""Kinds of reading: float32, bfloat16, two-byte narrow, one-byte narrow."""

_STORAGE = {WIDE: np.int32, BRAIN: np.int16, NARROW_2: np.int16, NARROW_1: np.int8}


@dataclass(frozen=True, slots=True)
class Format:
    """One element type.

    Attributes:
        kind: one of the four kinds of reading.
        shift: places by which the bits move up to stand where a float32 has them.
        body: exponent and fraction after the move. exponent: the exponent alone.
        bias: what is added to the exponent. least: the smallest normal number (0 where subnormals stay subnormal).
        infinite: bits that are all set in infinities and NaN, and in nothing else.
    """

    kind: int
    shift: int
    body: int
    exponent: int
    bias: int
    least: float
    infinite: int

    @property
    def storage(self) -> Any:
        """The integer type of the same size."""
        return _STORAGE[self.kind]

    @property
    def numbers(self) -> tuple[int, int, int, int, int]:
        """shift, body, exponent, bias and infinite: one row for the compiled loops."""
        return self.shift, self.body, self.exponent, self.bias, self.infinite


_HALF = 112 << 23
FORMATS = {
    DType.F32: Format(WIDE, 0, 0x7FFFFFFF, 0x7F800000, 0, 0.0, 0x7F800000),
    DType.BF16: Format(BRAIN, 16, 0x7FFF0000, 0x7F800000, 0, 0.0, 0x7F80),
    DType.F16: Format(NARROW_2, 13, 0x0FFFE000, 0x0F800000, _HALF, 2.0**-14, 0x7C00),
    DType.F8_E5M2: Format(NARROW_1, 21, 0x0FE00000, 0x0F800000, _HALF, 2.0**-14, 0x7C),
    DType.F8_E4M3: Format(NARROW_1, 20, 0x07F00000, 0x07800000, 120 << 23, 2.0**-6, 0x7F),
}
"""What can be read."""

_STORED = {dtype: np.dtype(form.storage) for dtype, form in FORMATS.items()}

OUTPUTS = {DType.F32: 0, DType.BF16: 1, DType.F16: 2}
"""What can be written, with the code that the loops know it by."""

Raw = NDArray[np.signedinteger]


def raw(block: NDArray[np.generic], dtype: DType) -> Raw:
    """The block's elements as integers of their size, one-dimensional, contiguous and aligned; a view where it can be.

    Example:
        >>> raw(np.array([0x3F80], np.uint16), DType.BF16)
        array([16256], dtype=int16)
    """
    line = block.ndim == 1 and block.flags.c_contiguous
    flat = (block if line else np.ascontiguousarray(block).reshape(-1)).view(_STORED[dtype])
    aligned: Raw = flat if flat.flags.aligned else flat.copy()
    return aligned


def widen(bits: Raw, dtype: DType) -> NDArray[np.float32]:
    """Integers of an element type's bits as float32.

    Example:
        >>> widen(np.array([0x3C00, 0x0001], np.int16), DType.F16).tolist()
        [1.0, 5.960464477539063e-08]
    """
    form = FORMATS[dtype]
    if form.kind == WIDE:
        return bits.view(np.float32)
    wide = bits.astype(np.int32)
    if form.kind == BRAIN:
        return (wide << 16).view(np.float32)
    body = (wide << form.shift) & np.int32(form.body)
    small = (body & np.int32(form.exponent)) == 0
    moved = (body + np.int32(form.bias) + np.where(small, np.int32(1 << 23), np.int32(0))).view(np.float32)
    value = moved - np.where(small, np.float32(form.least), np.float32(0))
    return (value.view(np.int32) | (wide & np.int32(-(2**31)))).view(np.float32)


def first_nonfinite(bits: Raw, dtype: DType) -> int:
    """Index of the first infinity or NaN; -1 where there is none.

    Example:
        >>> first_nonfinite(np.array([0x3F80, 0x7F80], np.int16), DType.BF16)
        1
    """
    marked = bits.dtype.type(FORMATS[dtype].infinite)
    found = np.flatnonzero((bits & marked) == marked)
    return int(found[0]) if found.size else -1


def narrow(values: NDArray[np.float32], dtype: DType) -> Raw:
    """float32 as the bits of an output type, rounded to nearest, ties to even.

    NaN becomes the quiet NaN 0x7FC0 of bfloat16 and 0x7E00 of float16.

    Example:
        >>> [hex(int(narrow(np.array([1.00390625], np.float32), d)[0])) for d in (DType.BF16, DType.F16)]
        ['0x3f80', '0x3c04']
    """
    bits = values.view(np.uint32)
    if dtype is DType.F32:
        return bits.view(np.int32)
    if dtype is DType.BF16:
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        return np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype(np.uint16).view(np.int16)
    with np.errstate(over="ignore", invalid="ignore"):
        half = values.astype(np.float16).view(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7E00), half).view(np.int16)
