"""How fast the block kernels run in memory, against a plain copy in the same process, alternating.

python benchmarks/kernels.py [--elements 33554432] [--models 3] [--dtype BF16] [--threads 1] [--only ties,linear]

Prints JSON: for every method, bytes in and out per second for every pass and for writing, the copy's, and the ratio of
times to copying as many bytes. Figures only; nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from solera.ops.kernels import FusedKernel, Leaf, engine, fused
from solera.ops.kernels.ranking import Small
from solera.types import CELL, DType

TRIALS: dict[str, tuple[dict[str, Any], bool]] = {
    "linear": ({}, False),
    "task_arithmetic": ({"weight": 0.4}, True),
    "ties": ({"weight": 0.4}, True),
    "dare_linear": ({"density": 0.5, "weight": 0.4}, True),
    "dare_ties": ({"density": 0.5, "weight": 0.4, "top": 1.0}, True),
    "breadcrumbs": ({"per": "tensor", "density": 0.9}, True),
    "sce": ({"select_topk": 0.1}, True),
    "ram": ({}, True),
    "ramplus_tl": ({}, True),
    "model_stock": ({}, True),
    "karcher": ({}, False),
    "nearswap": ({"t": 0.001}, False),
}
BLOCK = 4 * CELL


def blocks(count: int, elements: int, dtype: DType) -> list[np.ndarray]:
    """A base and siblings of it, as stored."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal(elements, np.float32) * np.float32(0.02)
    rows = [base] + [base + rng.standard_normal(elements, np.float32) * np.float32(1e-3) for _ in range(count)]
    if dtype is DType.F32:
        return rows
    return [((row.view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint16) for row in rows]


def seconds(work: Callable[[int], Any], elements: int, threads: int) -> float:
    """Time of working through all blocks."""
    starts = range(0, elements, BLOCK)
    begin = time.perf_counter()
    if threads == 1:
        for start in starts:
            work(start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, starts))
    return time.perf_counter() - begin


def copier(source: np.ndarray, target: np.ndarray) -> Callable[[int], None]:
    """Copy block by block."""

    def work(start: int) -> None:
        np.copyto(target[start : start + BLOCK], source[start : start + BLOCK])

    return work


def works(
    kernel: FusedKernel, rows: Sequence[np.ndarray], dtype: DType, out: np.ndarray, *, uses_base: bool
) -> list[tuple[str, int, Callable[[int], None]]]:
    """Passes and writing as (name, bytes per element, work on the block that starts there)."""
    facts = Leaf((rows[0].size,), "w", tuple(f"m{k}" for k in range(len(rows) - 1)), 7)
    dtypes = [dtype] * len(rows) if uses_base else [dtype] * (len(rows) - 1)
    base, models = (rows[0] if uses_base else None), rows[1:]
    read = dtype.itemsize * len(dtypes)
    finished: list[Any] = [None] * len(kernel.recipe.stages)
    jobs: list[tuple[str, int, Callable[[int], None]]] = []
    for one in kernel.passes:
        result = None
        for round_ in range(one.rounds):
            state = one.init(round_, result)
            known = tuple(finished)

            def fold(start: int, one: Any = one, state: Any = state, known: Any = known) -> None:
                cut = slice(start, start + BLOCK)
                one.add(
                    state, None if base is None else base[cut], [m[cut] for m in models], dtypes, known, start, facts
                )

            for start in range(0, rows[0].size, BLOCK):
                fold(start)
            result = one.finish(round_, state)
            jobs.append((f"pass {one.step}.{round_}", read, fold))
        if one.ranks:
            sample = one.init(0, None, aim=Small())
            fold(0, state=sample)
            held = one.init(0, None, aim=one.guess(sample))

            def bracketed(start: int, fold: Any = fold, held: Any = held) -> None:
                fold(start, state=held)

            jobs.append((f"pass {one.step} bracketed", read, bracketed))
        finished[one.step] = result
    bound = kernel.bind(finished, facts)

    def write(start: int) -> None:
        cut = slice(start, start + BLOCK)
        bound.write(None if base is None else base[cut], [m[cut] for m in models], dtypes, out[cut], dtype, start)

    return [*jobs, ("write", read + dtype.itemsize, write)]


def measure(
    work: Callable[[int], Any], per: int, copy: Callable[[int], Any], size: int, elements: int, threads: int
) -> dict[str, float]:
    """Best of five, alternating with the copy."""
    mine, copied = [], []
    for _ in range(5):
        copied.append(seconds(copy, elements, threads))
        mine.append(seconds(work, elements, threads))
    ours, floor = min(mine), min(copied) * per / (2 * size)
    return {
        "gb_per_s": round(per * elements / ours / 1e9, 2),
        "copy_gb_per_s": round(2 * size * elements / min(copied) / 1e9, 2),
        "ns_per_element": round(ours / elements * 1e9, 3),
        "times_copy": round(ours / floor, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=33_554_432)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--dtype", default="BF16", choices=["BF16", "F32"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    dtype = DType(options.dtype)
    rows = blocks(options.models, options.elements, dtype)
    out = np.zeros_like(rows[0])
    copy = copier(rows[1], out)
    results: dict[str, Any] = {}
    for name, (parameters, delta) in TRIALS.items():
        if options.only and name not in options.only.split(","):
            continue
        uses_base = delta or name == "nearswap"
        own = rows[:2] if name == "nearswap" else rows
        kernel = fused(name, parameters, len(own) - 1, delta=delta)
        assert kernel is not None
        results[name] = {
            job: measure(work, per, copy, dtype.itemsize, options.elements, options.threads)
            for job, per, work in works(kernel, own, dtype, out, uses_base=uses_base)
        }
    about = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "compiled": engine.compiled() is not None,
    }
    json.dump({"about": about, **vars(options), "methods": results}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
