"""What the kernel laws are tried on: stored elements with all kinds of numbers, and both ways of merging them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from solera import registry
from solera.ops.contract import Facts, Stack, run_whole
from solera.ops.kernels import Bound, FusedKernel, fused
from solera.ops.kernels.program import UNSEEN, Divergences, Kept
from solera.ops.kernels.recipe import Order, Then
from solera.types import CELL, ROWS, DType

STORED = {
    DType.F32: np.uint32,
    DType.BF16: np.uint16,
    DType.F16: np.uint16,
    DType.F8_E4M3: np.uint8,
    DType.F8_E5M2: np.uint8,
}


@dataclass(frozen=True)
class Case:
    """One method with one set of parameters."""

    method: str
    parameters: Mapping[str, Any]
    delta: bool
    base: bool = True
    only: int | None = None
    row: int | None = None

    def fit(self, n: int) -> int:
        """About n elements: whole rows."""
        return max(self.row, n // self.row * self.row) if self.row else n


def torch_type(dtype: DType) -> torch.dtype:
    return getattr(torch, dtype.torch_name)


def stored(values: np.ndarray, dtype: DType) -> np.ndarray:
    """float32 values as an element type's bits."""
    tensor = torch.from_numpy(values.astype(np.float32)).to(torch_type(dtype))
    size = {4: torch.int32, 2: torch.int16, 1: torch.int8}[dtype.itemsize]
    return tensor.view(size).numpy().view(STORED[dtype])


def opened(block: np.ndarray, dtype: DType) -> torch.Tensor:
    """Bits as float32, by torch."""
    size = {4: np.int32, 2: np.int16, 1: np.int8}[dtype.itemsize]
    return torch.from_numpy(block.view(size).copy()).view(torch_type(dtype)).to(torch.float32)


def make(models: int, n: int, dtypes: Sequence[DType], seed: int = 0, kind: str = "near") -> list[np.ndarray]:
    """Base and models."""
    rng = np.random.default_rng(seed)
    base = rng.standard_normal(n) * 0.02
    spread = {"near": 1e-3, "wild": 1.0, "equal": 0.0}[kind]
    rows = [base + spread * rng.standard_normal(n) * (rng.random(n) < 0.9) for _ in range(models)]
    if kind == "equal":
        rows = [base + rng.integers(-2, 3, n) * 2.0**-9 for _ in range(models)]
    if kind == "wild":
        special = np.array([0.0, -0.0, 1e-40, -3e-45, 2.0**-14, 2.0**-24, 3e37, -3e37, 240.0, -448.0, 6e4, -1.0])
        for row in [base, *rows]:
            spots = rng.integers(0, n, max(1, n // 5))
            row[spots] = special[rng.integers(0, len(special), spots.size)]
    limit = {DType.F32: 1e38, DType.BF16: 1e38, DType.F16: 6e4, DType.F8_E4M3: 448.0, DType.F8_E5M2: 57344.0}
    return [stored(np.clip(row, -limit[d], limit[d]), d) for row, d in zip([base, *rows], dtypes, strict=True)]


def facts_for(n: int, models: int, case: Case | None = None) -> Facts:
    shape = (n // case.row, case.row) if case and case.row else (n,)
    return Facts(shape=shape, leaf="layers.0.w", models=tuple(f"m{k}" for k in range(models)), seed=2**63 + 5)


def by_steps(
    case: Case, blocks: Sequence[np.ndarray], dtypes: Sequence[DType], out: DType, facts: Facts
) -> torch.Tensor:
    """The merge as the chain of steps gives it, bits of the output type."""
    base, *models = [opened(block, dtype) for block, dtype in zip(blocks, dtypes, strict=True)]
    stack = stack_of(case, base, models, facts)
    merged = run_whole(registry.build(case.method, dict(case.parameters)), stack, facts).reshape(-1)
    return (base + merged if case.delta else merged).to(torch_type(out))


def stack_of(case: Case, base: torch.Tensor, models: Sequence[torch.Tensor], facts: Facts) -> Stack:
    values = torch.stack([m - base if case.delta else m for m in models]).reshape(-1, *facts.shape)
    return Stack(values, base.reshape(facts.shape) if case.base else None)


def kernel_of(case: Case, models: int) -> FusedKernel:
    kernel = fused(case.method, case.parameters, models, delta=case.delta)
    assert kernel is not None, case
    return kernel


def cuts(n: int, step: int, kernel: FusedKernel, facts: Facts) -> list[tuple[int, int]]:
    """About `step` elements each: any slices that begin at cells, or whole rows."""
    row = facts.shape[-1] if kernel.grain is ROWS else 1
    step = max(row, step // row * row)
    return [(low, min(n, low + step)) for low in range(0, n, step)]


def found_by(
    kernel: FusedKernel,
    case: Case,
    blocks: Sequence[np.ndarray],
    dtypes: Sequence[DType],
    facts: Facts,
    step: int,
    known: Divergences = UNSEEN,
) -> list[Any]:
    """Everything the kernel has to find out, block by block; two states merged. `known` divergences are kept."""
    n = blocks[0].size
    finished: list[Any] = [None] * len(kernel.recipe.stages)
    base, *models = blocks
    given = dtypes if case.base else dtypes[1:]
    for one in kernel.passes:
        result = None
        for round_ in range(one.rounds):
            states = [one.init(round_, result), one.init(round_, result)]
            for i, (low, high) in enumerate(cuts(n, step, kernel, facts)):
                cut, own = [m[low:high] for m in models], base[low:high] if case.base else None
                bad = one.add(states[i % 2], own, cut, given, finished, low, facts, known=known)
                assert bad is None
            result = one.finish(round_, one.merge(*states))
        finished[one.step] = result
    return finished


def kept_by(
    kernel: FusedKernel,
    case: Case,
    blocks: Sequence[np.ndarray],
    dtypes: Sequence[DType],
    facts: Facts,
    finished: Sequence[Any],
    step: int,
) -> Kept | None:
    """What the operations before the last sums leave, where they only choose entries."""
    if not kernel.passes:
        return None
    one = kernel.passes[-1]
    wants = kernel.recipe.stages[one.step].wants
    if isinstance(wants, Order):
        return None
    state = one.init(one.rounds - 1, finished[one.step][0] if isinstance(wants, Then) else None)
    ops = one.chosen(state, finished, facts)
    if not ops:
        return None
    base, *models = blocks
    n, given = base.size, dtypes if case.base else dtypes[1:]
    kept = Kept(ops, np.full((len(models) + int(case.base and not kernel.delta), -(-n // 8)), 0x5A, np.uint8))
    for low, high in cuts(n, step, kernel, facts):
        cut, own = [m[low:high] for m in models], base[low:high] if case.base else None
        assert one.add(state, own, cut, given, finished, low, facts, kept.masks) is None
    return kept


def by_kernel(
    case: Case, blocks: Sequence[np.ndarray], dtypes: Sequence[DType], out: DType, facts: Facts, step: int = 2 * CELL
) -> torch.Tensor:
    """The merge as the kernel gives it, in blocks of `step` elements."""
    kernel = kernel_of(case, len(blocks) - 1)
    finished = found_by(kernel, case, blocks, dtypes, facts, step)
    kept = kept_by(kernel, case, blocks, dtypes, facts, finished, step)
    target = written(kernel.bind(finished, facts), kernel, case, blocks, dtypes, out, facts, step)
    if kept is not None:
        same(target, written(kernel.bind(finished, facts, kept), kernel, case, blocks, dtypes, out, facts, step))
    return target


def written(
    bound: Bound,
    kernel: FusedKernel,
    case: Case,
    blocks: Sequence[np.ndarray],
    dtypes: Sequence[DType],
    out: DType,
    facts: Facts,
    step: int,
) -> torch.Tensor:
    """The merge, in blocks of `step` elements."""
    target = np.zeros(blocks[0].size, STORED[out])
    base, *models = blocks
    given = dtypes if case.base else dtypes[1:]
    for low, high in cuts(target.size, step, kernel, facts):
        cut = [m[low:high] for m in models]
        bad = bound.write(base[low:high] if case.base else None, cut, given, target[low:high], out, low)
        assert bad is None or bad.operand == -2
    size = {4: torch.int32, 2: torch.int16}[out.itemsize]
    return torch.from_numpy(target.view({4: np.int32, 2: np.int16}[out.itemsize])).view(size).view(torch_type(out))


def same(left: torch.Tensor, right: torch.Tensor) -> None:
    """Bit for bit; NaN equals NaN."""
    size = {4: torch.int32, 2: torch.int16}[left.element_size()]
    differs = (left.view(size) != right.view(size)) & ~(left.isnan() & right.isnan())
    assert not bool(differs.any()), (int(differs.sum()), left[differs][:4].tolist(), right[differs][:4].tolist())


def of(
    method: str,
    delta: bool = True,
    base: bool = True,
    only: int | None = None,
    row: int | None = None,
    **parameters: Any,
) -> Case:
    return Case(method, parameters, delta, base, only, row)


CASES = [
    of("linear", delta=False, base=False),
    of("linear", delta=False, base=False, weight=0.3, normalize=False),
    of("task_arithmetic"),
    of("task_arithmetic", **{"weight": 0.7, "lambda": 0.4, "normalize": True}),
    of("ties"),
    of("ties", density=0.5, scope="tensor", zero="plus", **{"lambda": 1.3}),
    of("ties", density=0.4, boundary="kth", zero="majority", divide="count", weight=0.6),
    of("ties", density=0.3, vote="count", weighted_vote=False, weight=0.45, rescale=True),
    of("ties", density=0.0, keep_one=True, normalize=False),
    of("ties", density=1.0, weight=0.2, normalize=False, weighted_vote=False),
    of("dare_linear"),
    of("dare_linear", density=0.3, rescale_by="l1", weight=0.6, normalize=True),
    of("dare_linear", density=0.0),
    of("dare_ties", density=0.6),
    of("dare_ties", density=0.5, rescale_by="l1", top=0.3, scope="tensor", zero="majority", weight=0.5),
    of("breadcrumbs", per="tensor", density=0.4),
    of("breadcrumbs", per="tensor", density=0.9, gamma=0.3, rescale=True, weight=0.4, **{"lambda": 0.5}),
    of("breadcrumbs_ties", per="tensor", density=0.6, gamma=0.05, normalize=True),
    of("sce"),
    of("sce", select_topk=0.3),
    of("sce", select_topk=0.4, select="coefficients"),
    of("sce", select_topk=0.7, least=1e-6),
    of("ram"),
    of("ramplus_tl", r=0.4, alpha=1.5, epsilon=1e-3),
    of("ramplus_tl", scope="population"),
    of("nearswap", delta=False, only=1, t=0.0007),
    of("slerp", delta=False, only=1, t=0.3),
    of("slerp", delta=False, base=False, only=2, t=0.6, lerp_above=0.9995),
    of("nuslerp", only=2, weight=(0.3, 0.9)),
    of("nuslerp", delta=False, base=False, only=2),
    of("multislerp"),
    of("multislerp", delta=False, base=False, weight=0.4, soften=True),
    of("karcher", delta=False, base=False),
    of("model_stock", least_product=1e-6),
    of("model_stock", average="angle", clamp=True),
    of("della"),
    of("della", row=97, density=0.4, epsilon=0.2, rescale_by="l1", weight=0.6),
    of("della", row=104, density=0.6, epsilon=0.3, rescale_by="l1"),
    of("della", row=24, density=0.5, rescale_by="l1", weight=-0.6),
    of("della", row=5, density=1.0, normalize=False),
    of("della_linear", row=1500, rescale=False, **{"lambda": 0.8}),
    of("della_linear", row=1, density=0.7, normalize=True),
    of("della_linear", row=301, density=0.0),
    of("breadcrumbs"),
    of("breadcrumbs", row=3, density=0.4, gamma=0.3),
    of("breadcrumbs", row=1201, density=0.9, gamma=0.3, rescale=True, weight=0.4, **{"lambda": 0.5}),
    of("breadcrumbs", row=1208, density=0.9, gamma=0.3, rescale=True, weight=0.4, **{"lambda": 0.5}),
    of("breadcrumbs", row=100, density=0.01, gamma=1.0),
    of("breadcrumbs_ties", row=130, density=1.0, gamma=0.05, normalize=True),
    of("arcee_fusion", delta=False, only=1),
    of("arcee_fusion", delta=False, only=1, row=33),
    of("model_stock", row=41, filter_wise=True, least_product=1e-6),
    of("model_stock", filter_wise=True, average="angle"),
    of("nuslerp", only=2, row=67, flatten=False, weight=(0.3, 0.9)),
    of("nuslerp", delta=False, base=False, only=2, row=1100, flatten=False),
]
