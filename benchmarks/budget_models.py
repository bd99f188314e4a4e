"""Synthetic fine-tunes whose blocks are worth different amounts: leaves and blocks change by lognormal factors."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from benchmarks.checkpoints import SIZES, Size, layout, names_of, pool, side_files, tensors, to_bf16

CELL = 65_536
CHANGE, LEAF, BLOCK = 1e-3, 1.0, 0.5
"""Typical change of an element; standard deviations of the logarithms of a leaf's and a block's own factor."""
SMALL = Size(512, 4, 8, 8, 1408, 8000)


def write_family(out: Path, models: int, *, small: bool = False, seed: int = 0) -> None:
    """Write OUT/base and OUT/e0 .. as bf16 safetensors: 0.1 B parameters each, or 17 M where `small`."""
    size = SMALL if small else SIZES["0.1"]
    plan = list(tensors(size))
    made = layout(plan, 1 << 40)
    for model, name in enumerate(names_of(models)):
        (out / name).mkdir(parents=True, exist_ok=True)
        side_files(out / name, size)
        (file,) = made.headers
        descriptor = os.open(out / name / file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.pwrite(descriptor, made.headers[file], 0)
            for tensor, (title, shape) in enumerate(plan):
                offset = made.spots[title].offset
                for start in range(0, math.prod(shape), CELL):
                    count = min(CELL, math.prod(shape) - start)
                    bits = _block(seed, tensor, start // CELL, model, count)
                    os.pwrite(descriptor, bits.data, offset + 2 * start)
        finally:
            os.close(descriptor)


def _block(seed: int, tensor: int, block: int, model: int, count: int) -> np.ndarray:
    """A block's bits: the base's numbers and, for a fine-tune, the change on top."""
    shared = np.random.default_rng([seed, tensor, block])
    values = _cut(seed, shared, count) * np.float32(0.02)
    if model:
        leaf = np.random.default_rng([seed, tensor, 1_000_000, model]).normal(0, LEAF)
        own = np.random.default_rng([seed, tensor, block, model])
        values = values + _cut(seed, own, count) * np.float32(CHANGE * math.exp(leaf + own.normal(0, BLOCK)))
    return to_bf16(np.ascontiguousarray(values, np.float32))


def _cut(seed: int, rng: np.random.Generator, count: int) -> np.ndarray:
    start = int(rng.integers(0, pool(seed).size - count))
    return pool(seed)[start : start + count]
