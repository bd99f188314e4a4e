"""Divergences of rows are found once, and are the same bits whoever finds them."""

from __future__ import annotations

import numpy as np
import pytest

from solera.ops.kernels import plain_rows
from solera.types import CELL, DType
from tests.kernels.blocks import facts_for, found_by, kernel_of, make, of, same, stored, written

BF16 = DType.BF16


@pytest.mark.parametrize(
    ("n", "row", "kind"), [(CELL + 777, None, "near"), (40 * 301, 301, "wild"), (3 * 5, 5, "near")]
)
def test_divergences_that_are_kept_give_the_bits_of_fresh_ones(n: int, row: int | None, kind: str, loops: str) -> None:
    case = of("arcee_fusion", delta=False, only=1, row=row)
    dtypes, facts, kernel = [BF16] * 2, facts_for(n, 1, case), kernel_of(case, 1)
    blocks = make(1, n, dtypes, seed=5, kind=kind)
    fresh = found_by(kernel, case, blocks, dtypes, facts, CELL)
    known = kernel.unseen(facts)
    assert known.shape == (n // (row or n),)
    assert found_by(kernel, case, blocks, dtypes, facts, CELL, known) == fresh
    assert (known >= 0).all()
    again, cut = known.copy(), (kernel, case, blocks, dtypes, BF16, facts, CELL)
    want = written(kernel.bind(fresh, facts), *cut)
    same(written(kernel.bind(fresh, facts, known=known), *cut), want)
    assert (known == again).all()
    known[1::2] = -1.0
    same(written(kernel.bind(fresh, facts, known=known), *cut), want)
    assert (known == again).all()


def test_divergences_that_are_kept_are_not_found_again(loops: str) -> None:
    case, n = of("arcee_fusion", delta=False, only=1, row=64), 64 * 64
    blocks, facts, kernel = make(1, n, [BF16] * 2), facts_for(n, 1, case), kernel_of(case, 1)
    planted = np.zeros(64)
    assert found_by(kernel, case, blocks, [BF16] * 2, facts, 8 * 64, planted) == [((0.0, 0.0, 0.0),)]
    assert not kernel_of(of("della"), 2).unseen(facts).size


def test_divergences_of_rows_of_any_width_are_those_of_numpy() -> None:
    pytest.importorskip("numba")
    rng, row, case = np.random.default_rng(7), 129, of("arcee_fusion", delta=False, only=1, row=129)
    widths = np.array([0.0, 0.1, 0.34657, 0.346573, 0.346574, 0.34658, 0.5, 3.0, 700.0, 707.9, 708.1, 2e4])
    base = (rng.random((widths.size, row)) - 0.7) * widths[:, None]
    base[:, 0], base[:, 1] = -0.7 * widths, 0.3 * widths
    x = base + rng.standard_normal(base.shape) * 1e-3 * (widths[:, None] + 1) * (rng.random(base.shape) < 0.5)
    blocks = [stored(part.reshape(-1), DType.F32) for part in (base, x)]
    facts, kernel = facts_for(base.size, 1, case), kernel_of(case, 1)
    known = kernel.unseen(facts)
    found_by(kernel, case, blocks, [DType.F32] * 2, facts, base.size, known)
    want = np.full(widths.size, -1.0)
    plain_rows.importance(blocks[0].view(np.float32), blocks[1].view(np.float32), want)
    assert (known.view(np.int64) == want.view(np.int64)).all()
    assert len(set(want.tolist())) == widths.size
