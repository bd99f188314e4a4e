"""Numbers for exponential and logarithm in float64, made of additions, multiplications and divisions alone."""

from __future__ import annotations

import math

LOG2_E = 1.0 / math.log(2.0)
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""The logarithm of 2 in two parts; whole numbers below 2^11 times the first are exact."""

LEAST_POWER = -708.0
"""The exponential of less is 0."""

ROOT_HALF = 0x3FE6A09E667F3BCD
"""Bits of the square root of one half."""

EXP_TERMS = tuple(1.0 / math.factorial(n) for n in range(14))
"""Taylor series of the exponential, good to 2^-56 within ln(2) / 2 of 0."""

LOG_TERMS = tuple(1.0 / (2 * n + 1) for n in range(12))
"""log((1 + s) / (1 - s)) / 2s in powers of s squared, good to 2^-56 where (1 + s) / (1 - s) is within sqrt(2) of 1."""
