"""Stored elements to float32 tiles and back."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def"
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import numpy as np
from numba import carray, njit

from solera.ops.kernels.loops.fetching import fetch_all
from solera.ops.kernels.loops.numbers import (
    OPTIONS,
    bits_of,
    float_of,
    highest,
    of_brain,
    of_narrow,
    pointer_1,
    pointer_2,
    pointer_4,
    pointer_f,
    to_brain,
    to_half,
    wide,
)

INFINITE = np.int32(0x7F800000)
"""The exponent of a float32 that is not finite."""


@njit(**OPTIONS)
def widen(address, kind, numbers, least, out):
    """Read one operand's tile as float32; returns whether all of it is finite."""
    wide()
    n = out.shape[0]
    infinite, top = numbers[4], np.int32(0)
    if kind == 0:
        four = carray(pointer_4(address), (n,))
        for i in range(n):
            top = highest(top, four[i], infinite)
            out[i] = float_of(four[i])
    elif kind == 1:
        brain = carray(pointer_2(address), (n,))
        for i in range(n):
            value = of_brain(brain[i])
            top = highest(top, bits_of(value), INFINITE)
            out[i] = value
        return top != INFINITE
    elif kind == 2:
        two = carray(pointer_2(address), (n,))
        for i in range(n):
            top = highest(top, two[i], infinite)
            out[i] = of_narrow(two[i], numbers[0], numbers[1], numbers[2], numbers[3], least)
    else:
        one = carray(pointer_1(address), (n,))
        for i in range(n):
            top = highest(top, one[i], infinite)
            out[i] = of_narrow(one[i], numbers[0], numbers[1], numbers[2], numbers[3], least)
    return top != infinite


@njit(**OPTIONS)
def widen_less(address, kind, numbers, least, base, out):
    """Read one operand's tile minus the base's; returns whether all of the operand is finite."""
    wide()
    n = out.shape[0]
    if kind == 1:
        top = np.int32(0)
        brain = carray(pointer_2(address), (n,))
        for i in range(n):
            value = of_brain(brain[i])
            top = highest(top, bits_of(value), INFINITE)
            out[i] = value - base[i]
        return top != INFINITE
    fine = widen(address, kind, numbers, least, out)
    for i in range(n):
        out[i] = out[i] - base[i]
    return fine


@njit(**OPTIONS)
def narrow(values, address, kind):
    """Write a tile in the output's type; returns whether it fits (float16 may overflow)."""
    wide()
    n = values.shape[0]
    top = np.int32(0)
    if kind == 0:
        four = carray(pointer_f(address), (n,))
        for i in range(n):
            four[i] = values[i]
    elif kind == 1:
        brain = carray(pointer_2(address), (n,))
        for i in range(n):
            brain[i] = to_brain(values[i])
    else:
        half = carray(pointer_2(address), (n,))
        for i in range(n):
            bits = to_half(values[i])
            top = highest(top, bits, np.int32(0x7C00))
            half[i] = bits
    return top != 0x7C00


@njit(**OPTIONS)
def load(T, base, at, n, reading):
    """Read elements [at, at + n) of all operands into the rows of T, minus the base where `delta`.

    Operand 0 is the base where `delta`; it stays in `base`. Returns whether all is finite.
    """
    addresses, kinds, sizes, numbers, least, delta = reading
    fine = True
    first = 0
    fetch_all(reading, at + n, n)
    if delta:
        first = 1
        fine &= widen(addresses[0] + at * sizes[0], kinds[0], numbers[0], least[0], base[:n])
    for k in range(T.shape[0]):
        o = first + k
        address, row = addresses[o] + at * sizes[o], T[k, :n]
        if delta:
            fine &= widen_less(address, kinds[o], numbers[o], least[o], base[:n], row)
        else:
            fine &= widen(address, kinds[o], numbers[o], least[o], row)
    return fine
