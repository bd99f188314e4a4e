"""Every kernel equals its steps, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solera import registry
from solera.ops.kernels import Bad, Leaf, fused, unroll
from solera.ops.kernels.formats import FORMATS, narrow, raw, widen
from solera.ops.kernels.methods import METHODS
from solera.ops.kernels.ranking import Small
from solera.types import CELL, DType
from tests.kernels.blocks import (
    CASES,
    STORED,
    Case,
    by_kernel,
    by_steps,
    facts_for,
    found_by,
    kernel_of,
    make,
    of,
    opened,
    same,
    stack_of,
    stored,
    torch_type,
)

BF16 = DType.BF16


def label(case: Case) -> str:
    return "-".join([case.method, *(f"{k}={v}" for k, v in case.parameters.items())])


COUNTS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 20]


def counts_of(case: Case) -> list[int]:
    """Numbers of models that a case's method takes, out of those tried."""
    return [] if case.only else [k for k in COUNTS if k >= registry.card(case.method).models[0]]


@pytest.mark.parametrize(
    ("case", "k"),
    [pytest.param(case, k, id=f"{label(case)}-{k}") for case in CASES for k in counts_of(case)],
)
def test_any_number_of_models(case: Case, k: int) -> None:
    n = case.fit(1031)
    blocks, facts = make(k, n, [BF16] * (k + 1), seed=k), facts_for(n, k, case)
    same(
        by_kernel(case, blocks, [BF16] * (k + 1), BF16, facts),
        by_steps(case, blocks, [BF16] * (k + 1), BF16, facts),
    )


@pytest.mark.parametrize("case", CASES, ids=label)
class TestKernelEqualsSteps:
    @pytest.mark.parametrize(("n", "kind"), [(CELL + 777, "near"), (4099, "equal"), (1, "near"), (3001, "wild")])
    def test_numbers_of_all_kinds(self, case: Case, n: int, kind: str, loops: str) -> None:
        k, n = case.only or (2 if kind == "wild" else 3), case.fit(n)
        blocks, facts = make(k, n, [BF16] * (k + 1), kind=kind), facts_for(n, k, case)
        for out in (BF16, DType.F32):
            same(
                by_kernel(case, blocks, [BF16] * (k + 1), out, facts),
                by_steps(case, blocks, [BF16] * (k + 1), out, facts),
            )

    @pytest.mark.parametrize("inputs", [DType.F32, DType.F16, DType.F8_E4M3, DType.F8_E5M2, None])
    def test_types(self, case: Case, inputs: DType | None, loops: str) -> None:
        k, n = case.only or 3, case.fit(2049)
        mixed = [DType.F16, DType.F32, DType.BF16, DType.F8_E5M2]
        dtypes = [inputs] * (k + 1) if inputs else mixed[: k + 1]
        blocks, facts = make(k, n, dtypes, seed=3), facts_for(n, k, case)
        for out in (BF16, DType.F16, DType.F32):
            same(by_kernel(case, blocks, dtypes, out, facts), by_steps(case, blocks, dtypes, out, facts))

    def test_slices_equal_whole(self, case: Case) -> None:
        k, n = case.only or 3, case.fit(3 * CELL + 5)
        blocks, facts = make(k, n, [BF16] * (k + 1), seed=9), facts_for(n, k, case)
        whole = by_kernel(case, blocks, [BF16] * (k + 1), BF16, facts, step=4 * CELL)
        same(by_kernel(case, blocks, [BF16] * (k + 1), BF16, facts, step=CELL), whole)

    def test_summaries_are_those_of_the_steps(self, case: Case) -> None:
        k, n = case.only or 3, case.fit(CELL + 99)
        dtypes = [BF16] * (k + 1)
        blocks, facts = make(k, n, dtypes, seed=4), facts_for(n, k, case)
        chain = registry.build(case.method, dict(case.parameters))
        found = found_by(kernel_of(case, k), case, blocks, dtypes, facts, CELL)
        base, *models = [opened(b, BF16) for b in blocks]
        stack = stack_of(case, base, models, facts)
        for i, step in enumerate(chain.steps):
            result = None
            if step.summary is not None:
                for r in range(step.summary.rounds):
                    here = replace(facts, step=i)
                    result = step.summary.finish(r, step.summary.add(step.summary.init(r, result), stack, here))
                assert found[i] == result
            else:
                assert i >= len(found) or found[i] is None
            stack = step(stack, replace(facts, step=i, summary=result))


def test_threads_do_not_matter() -> None:
    case, n = of("dare_ties", density=0.5), 8 * CELL
    blocks, facts = make(3, n, [BF16] * 4), facts_for(n, 3)
    kernel = kernel_of(case, 3)
    bound = kernel.bind(found_by(kernel, case, blocks, [BF16] * 4, facts, CELL), facts)
    out = np.zeros(n, np.uint16)

    def one(low: int) -> None:
        cut = [b[low : low + CELL] for b in blocks]
        assert bound.write(cut[0], cut[1:], [BF16] * 4, out[low : low + CELL], BF16, low) is None

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(0, n, CELL)))
    whole = np.zeros(n, np.uint16)
    assert bound.write(blocks[0], blocks[1:], [BF16] * 4, whole, BF16, 0) is None
    assert (whole == out).all()


AWKWARD = {
    "equal": lambda rng, shape: np.ones(shape),
    "zeros": lambda rng, shape: np.zeros(shape),
    "few values": lambda rng, shape: rng.integers(-3, 4, shape) * 0.25,
    "close": lambda rng, shape: 1 + rng.standard_normal(shape) * 1e-6,
    "wide": lambda rng, shape: rng.standard_cauchy(shape) ** 5,
    "outliers": lambda rng, shape: np.where(rng.random(shape) < 0.01, 1, 1e-6 * rng.standard_normal(shape)),
    "subnormal": lambda rng, shape: 1e-44 * rng.integers(-9, 9, shape),
    "large": lambda rng, shape: 3e38 * rng.random(shape),
    "nearly equal": lambda rng, shape: 0.5 + (rng.random(shape) < 0.03) * rng.random(shape) * 2.0**-16,
}
"""Rows on which ways of ranking take different turns."""


@pytest.mark.parametrize("length", [49, 768, 5632, 20_000])
@pytest.mark.parametrize("kind", list(AWKWARD))
@pytest.mark.parametrize("case", [of("della"), of("breadcrumbs", density=0.3, gamma=0.2)], ids=label)
def test_ranks_of_awkward_rows(case: Case, kind: str, length: int) -> None:
    rng = np.random.default_rng(length)
    case = replace(case, row=length)
    models = [stored(AWKWARD[kind](rng, 2 * length), DType.F32) for _ in range(2)]
    blocks, dtypes, facts = [np.zeros_like(models[0]), *models], [DType.F32] * 3, facts_for(2 * length, 2, case)
    same(by_kernel(case, blocks, dtypes, DType.F32, facts, step=1), by_steps(case, blocks, dtypes, DType.F32, facts))


@pytest.mark.parametrize("dtype", list(FORMATS))
def test_all_bits_widen_as_in_torch(dtype: DType) -> None:
    count = min(2 ** (8 * dtype.itemsize), 2**16)
    bits = np.arange(count, dtype=np.uint64).astype(STORED[dtype])
    if dtype is DType.F32:
        bits = np.random.default_rng(0).integers(0, 2**32, 2**16, np.uint32)
    want = opened(bits, dtype)
    fine = torch.isfinite(want).numpy()
    got = widen(raw(bits, dtype), dtype)
    assert (got.view(np.uint32)[fine] == want.numpy().view(np.uint32)[fine]).all()
    kernel = fused("linear", {}, 1, delta=False)
    out = np.zeros(int(fine.sum()), np.float32)
    assert kernel.write(None, [bits[fine]], [dtype], (), out, DType.F32, 0, Leaf((count,))) is None
    assert (out.view(np.uint32) == want.numpy().view(np.uint32)[fine]).all()


@pytest.mark.parametrize("dtype", [BF16, DType.F16])
def test_rounding_is_torchs(dtype: DType, loops: str) -> None:
    bits = np.random.default_rng(1).integers(0, 2**32, 2**18, np.uint32)
    edges = (
        np.arange(2**16, dtype=np.uint32)[:, None] << 16
        | np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0x1000, 0x3000, 0xFFFF])
    ).ravel()
    values = np.concatenate([bits, edges.astype(np.uint32)]).view(np.float32)
    values = np.ascontiguousarray(values[np.isfinite(values)])
    want = torch.from_numpy(values).to(torch_type(dtype))
    out = np.zeros(values.size, np.uint16)
    bad = fused("linear", {}, 1, delta=False).write(
        None, [values], [DType.F32], (), out, dtype, 0, Leaf((values.size,))
    )
    assert (bad is None) == (dtype is BF16)
    same(torch.from_numpy(out.view(np.int16)).view(torch_type(dtype)), want)
    assert narrow(np.array([np.nan], np.float32), dtype).view(np.uint16)[0] in (0x7FC0, 0x7E00)


@pytest.mark.parametrize("dtype", list(FORMATS))
@pytest.mark.parametrize("operand", [-1, 0, 2])
def test_numbers_that_are_not_finite_are_named(dtype: DType, operand: int, loops: str) -> None:
    n, place = 3 * 1024 + 17, 2500
    blocks = make(3, n, [dtype] * 4)
    blocks[operand + 1][place] = FORMATS[dtype].infinite
    blocks[operand + 1][place + 3] = FORMATS[dtype].infinite
    kernel, facts = kernel_of(of("ties", scope="tensor"), 3), facts_for(n, 3)
    state = kernel.passes[0].init(0, None)
    assert kernel.passes[0].add(state, blocks[0], blocks[1:], [dtype] * 4, (), CELL, facts) == Bad(
        operand, CELL + place
    )
    out = np.zeros(n, np.uint16)
    wrote = kernel.write(blocks[0], blocks[1:], [dtype] * 4, [((0.1,),) * 3], out, BF16, CELL, facts)
    assert wrote == Bad(operand, CELL + place)


def test_what_does_not_fit_half_is_named(loops: str) -> None:
    values = np.array([1.0, 65519.0, 65520.0], np.float32)
    out = np.zeros(3, np.uint16)
    assert fused("linear", {}, 1, delta=False).write(
        None, [values], [DType.F32], (), out, DType.F16, 0, Leaf((3,))
    ) == Bad(-2, 2)


@pytest.mark.parametrize(
    "case", [of("ties", density=0.2), of("breadcrumbs", per="tensor"), of("sce", select_topk=0.1)], ids=label
)
def test_a_bracket_that_holds_saves_a_pass(case: Case, loops: str) -> None:
    n = 4 * CELL + 13  # groups of sixteen, and a rest
    blocks, facts = make(3, n, [BF16] * 4), facts_for(n, 3)
    one = kernel_of(case, 3).passes[0]
    cuts = [[b[low : low + CELL] for b in blocks] for low in range(0, n, CELL)]

    def over(units: list, **bracket: object) -> object:
        state = one.init(0, None, **bracket)
        for i, cut in enumerate(units):
            one.add(state, cut[0], cut[1:], [BF16] * 4, (), i * CELL, facts)
        return state

    settled = one.settled(over(cuts, aim=one.guess(over(cuts[:1], aim=Small()))))
    state = one.init(1, one.finish(0, over(cuts)))
    for i, cut in enumerate(cuts):
        one.add(state, cut[0], cut[1:], [BF16] * 4, (), i * CELL, facts)
    exact = one.finish(1, state)
    assert settled == exact
    assert one.settled(over(cuts, aim=tuple(((0, 0),) * len(row) for row in exact))) is None
    cuts[0][1][700] = cuts[4][2][11] = FORMATS[BF16].infinite
    held = one.init(0, None, aim=one.guess(over(cuts[1:2], aim=Small())))
    for i, place in ((0, 700), (4, 11)):
        found = one.add(held, cuts[i][0], cuts[i][1:], [BF16] * 4, (), i * CELL, facts)
        assert found == Bad(i // 4, i * CELL + place)


@pytest.mark.parametrize("n", [0, 1, 7, CELL])
@pytest.mark.parametrize(
    "case", [of("ties", density=0.2), of("breadcrumbs", per="tensor"), of("sce", select_topk=0.1)], ids=label
)
def test_a_small_tensor_is_ranked_in_one_pass(case: Case, n: int, loops: str) -> None:
    blocks, facts = make(3, n, [BF16] * 4), facts_for(n, 3)
    one = kernel_of(case, 3).passes[0]

    def over(state: object) -> object:
        one.add(state, blocks[0], blocks[1:], [BF16] * 4, (), 0, facts)
        return state

    exact = one.finish(1, over(one.init(1, one.finish(0, over(one.init(0, None))))))
    assert one.settled(over(one.init(0, None, aim=Small()))) == exact


@pytest.mark.parametrize("method", list(METHODS))
def test_defaults_are_the_methods_own(method: str) -> None:
    card = registry.card(method)
    least = card.models[0]
    required = {p.name: 0.5 for p in card.parameters if p.required}
    full = required | {p.name: p.default for p in card.parameters if not p.required}
    plain, spelled = fused(method, required, least, delta=True), fused(method, full, least, delta=True)
    assert (plain is None) == (spelled is None)
    assert fused(method, {**required, "nonsense": 1}, least, delta=True) is None


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("nuslerp", {"flatten": False, "row_wise": True}),
        ("passthrough", {}),
        ("linear", {"weight": (1.0,)}),
    ],
)
def test_no_kernel_is_said(method: str, parameters: dict) -> None:
    assert fused(method, parameters, 2, delta=True) is None


@pytest.mark.parametrize("case", [of("task_arithmetic"), of("ram"), of("ties", density=1.0)], ids=label)
def test_sums_that_overflow_are_the_steps_own(case: Case, loops: str) -> None:
    blocks = [stored(np.array([0.0, 1.0, 2.0]), BF16), *[stored(np.array([3e38, 1.0, -3e38]), BF16)] * 2]
    facts = facts_for(3, 2)
    same(by_kernel(case, blocks, [BF16] * 3, BF16, facts), by_steps(case, blocks, [BF16] * 3, BF16, facts))


def test_unrolled_is_what_its_generator_writes() -> None:
    loops = Path(unroll.__file__).with_name("loops")
    assert (loops / "unrolled.py").read_text() == unroll.source()
    assert (loops / "tails.py").read_text() == unroll.tails()


def test_no_torch_and_no_numba_on_the_way_in() -> None:
    code = "import sys, solera.ops.kernels; assert not {'torch', 'numba', 'llvmlite'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_stored_reads_back() -> None:
    values = np.array([0.5, -2.0], np.float32)
    assert opened(stored(values, DType.F8_E4M3), DType.F8_E4M3).tolist() == values.tolist()
