"""model_stock, sce, ram, ramplus_tl, arcee_fusion."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from solera.methods.weights.arcee_fusion import arcee_fusion
from solera.methods.weights.linear import linear
from solera.methods.weights.model_stock import model_stock
from solera.methods.weights.ram import ram, ramplus_tl
from solera.methods.weights.sce import sce
from solera.ops.contract import Facts, Stack, as_stack, run_whole
from solera.registry import build

CLOSE = {"rtol": 0, "atol": 1e-6}


def stock(deltas, *, average=np.mean, least=0.0):
    """t times the mean, for vectors (models, n)."""
    cosines = []
    for a, b in combinations(deltas, 2):
        product = max(np.linalg.norm(a) * np.linalg.norm(b), least)
        cosines.append(np.clip(a @ b / product, -1, 1) if product else 0.0)
    cosine, models = average(cosines), len(deltas)
    return models * cosine / (1 + (models - 1) * cosine) * deltas.mean(0)


def test_model_stock_golden(golden):
    want = [[1.04784, 2.0184, 2.9816], [4.00368, 5.01104, 5.947008]]
    np.testing.assert_allclose(golden.on_deltas(model_stock()), want, **CLOSE)
    rows = golden.on_deltas(model_stock(filter_wise=True)) - golden.base
    for row, cosine in zip(range(2), (-0.087638, 0.411458), strict=True):
        t = 2 * cosine / (1 + cosine)
        np.testing.assert_allclose(rows[row], t * golden.deltas[:, row].mean(0), atol=2e-6)


def test_model_stock_is_closest_to_the_centre():
    deltas = torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5]])
    merged = run_whole(model_stock(), Stack(deltas), Facts((2,)))
    np.testing.assert_allclose(merged, [0.5, 0.288675], **CLOSE)
    np.testing.assert_allclose([merged @ (d - merged) for d in deltas], [1 / 6, 1 / 6], **CLOSE)


@pytest.mark.parametrize("filter_wise", [False, True])
def test_model_stock_equals_numpy(three, filter_wise):
    length = three.base.shape[-1] if three.base.shape else 1
    lines = three.deltas.reshape(3, -1, length if filter_wise else three.base.size)
    want = np.stack([stock(lines[:, r]) for r in range(lines.shape[1])]).reshape(three.base.shape)
    got = three.on_deltas(model_stock(filter_wise=filter_wise))
    np.testing.assert_allclose(got, three.base + want, rtol=0, atol=5e-6 * max(1, np.abs(want).max()))


def test_model_stock_variants(three):
    flat = three.deltas.reshape(3, -1)
    angles = stock(flat, average=lambda c: np.cos(np.mean(np.arccos(c)))).reshape(three.base.shape)
    got = three.on_deltas(build("model_stock", {}, variant="fusion_bench"))
    np.testing.assert_allclose(got, three.base + angles, rtol=0, atol=5e-6 * max(1, np.abs(angles).max()))
    tiny = type(three)(three.base * 0, three.deltas * 1e-3)
    shrunk = stock(flat * 1e-3, least=1e-6).reshape(three.base.shape)
    np.testing.assert_allclose(tiny.on_deltas(build("model_stock", {}, variant="mergekit")), shrunk, atol=1e-8)


def test_model_stock_of_opposite_models():
    deltas = torch.tensor([[1.0, 0.0], [-0.9, 0.1]])
    away = run_whole(model_stock(), Stack(deltas), Facts((2,)))
    assert away.abs().max() > 1
    assert run_whole(model_stock(clamp=True), Stack(deltas), Facts((2,))).abs().tolist() == [0.0, 0.0]
    pole = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert run_whole(model_stock(), Stack(pole), Facts((2,))).tolist() == [0.0, 0.0]


def three_steps(deltas, topk, *, scope="all", least=0.0):
    """Select, calculate, erase."""
    spread = np.where(np.ptp(deltas, axis=0) == 0, 0, deltas.var(0)).astype(np.float32)
    count = int(topk * np.count_nonzero(spread))
    limit = np.sort(spread, axis=None)[spread.size - count] if count else np.inf
    chosen = deltas * (spread >= limit) if topk < 1 else deltas
    squares = (chosen**2).reshape(len(deltas), -1).mean(1)
    weights = squares / squares.sum() if squares.sum() > least else np.full(len(deltas), 1 / len(deltas))
    used = chosen if scope == "all" else deltas
    sign = np.where(used.sum(0) >= 0, 1, -1)
    share = (np.sign(used) * sign > 0) * weights.reshape(-1, *[1] * (deltas.ndim - 1))
    below = share.sum(0)
    return (share * used).sum(0) / (np.maximum(below, least) if least else np.where(below == 0, 1, below))


def test_sce_golden(golden):
    everything = [[1.33161, 2.45, 2.65], [4.05, 5.3, 5.627661]]
    np.testing.assert_allclose(golden.on_deltas(sce()), everything, **CLOSE)
    official = golden.on_deltas(build("sce", {"select_topk": 0.5}, variant="official"))
    np.testing.assert_allclose(official, [[1.293077, 2.45, 2.65], [4.05, 5.3, 5.69959]], **CLOSE)
    np.testing.assert_allclose(golden.on_deltas(sce(0.5)), [[1, 2.45, 2.65], [4, 5.3, 6]], **CLOSE)


@pytest.mark.parametrize("topk", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("variant", ["paper", "mergekit", "official"])
def test_sce_equals_numpy(three, topk, variant):
    scope, least = ("coefficients" if variant == "official" else "all"), (1e-6 if variant == "mergekit" else 0.0)
    got = three.on_deltas(build("sce", {"select_topk": topk}, variant=variant))
    np.testing.assert_allclose(got, three.base + three_steps(three.deltas, topk, scope=scope, least=least), **CLOSE)


def test_sce_of_small_changes_is_unweighted_under_mergekit_only(three):
    tiny = type(three)(three.base * 0, np.abs(three.deltas) * 1e-4)
    equal = three_steps(tiny.deltas, 1.0, least=1e-6)
    got = tiny.on_deltas(build("sce", {}, variant="mergekit"))
    np.testing.assert_allclose(got, equal, atol=1e-10)
    np.testing.assert_allclose(tiny.on_deltas(sce()), three_steps(tiny.deltas, 1.0), atol=1e-10)


def test_sce_drowns_lone_small_models_under_mergekit_only():
    values = torch.tensor([[1000.0, 0.0], [0.0, 0.01]])
    assert run_whole(sce(), Stack(values), Facts((2,))).tolist() == pytest.approx([1000.0, 0.01])
    drowned = run_whole(build("sce", {}, variant="mergekit"), Stack(values), Facts((2,)))
    assert drowned.tolist() == pytest.approx([1000.0, 0.01 * 1e-10 / 1e-6])


def test_copies_do_not_vary():
    values = torch.tensor([[0.5, -1.0]] * 3)
    assert run_whole(sce(0.5), Stack(values), Facts((2,))).tolist() == [0.0, 0.0]
    official = build("sce", {"select_topk": 0.5}, variant="official")
    assert run_whole(official, Stack(values), Facts((2,))).tolist() == [0.5, -1.0]


RAM = torch.tensor([[0.4, 0, 0.1, 0, 0.3, -0.5], [0.2, 0.4, 0, 0, -0.1, 0]])


def test_ram_golden():
    def run(method):
        return run_whole(method, Stack(RAM), Facts((6,)))

    np.testing.assert_allclose(run(ram()), [0.3, 0.4, 0.1, 0, 0.1, -0.5], **CLOSE)
    np.testing.assert_allclose(run(ramplus_tl()), [0.3, 0.408, 0.102, 0, 0.1, -0.51], **CLOSE)
    official = build("ramplus_tl", {}, variant="official")
    np.testing.assert_allclose(run(official), [0.3, 0.48, 0.12, 0, 0.1, -0.6], **CLOSE)


@pytest.mark.parametrize("epsilon", [1e-5, 0.05])
def test_ram_equals_numpy(three, epsilon):
    changed = np.abs(three.deltas) > epsilon
    count = changed.sum(0)
    kept = three.deltas * changed
    np.testing.assert_allclose(
        three.on_deltas(ram(epsilon=epsilon)), three.base + kept.sum(0) / np.maximum(count, 1), **CLOSE
    )
    for k in range(3):
        unique, shared = (changed[k] & (count == 1)).sum(), (changed[k] & (count > 1)).sum()
        ratio = min(shared / unique, 0.7) if unique else 0.7
        kept[k] = np.where(count == 1, kept[k] * (1 + 0.3 * ratio), kept[k])
    got = three.on_deltas(ramplus_tl(epsilon=epsilon, r=0.3, alpha=0.7))
    np.testing.assert_allclose(got, three.base + kept.sum(0) / np.maximum(count, 1), **CLOSE)


def test_ram_of_disjoint_changes_is_their_sum_and_of_copies_their_average(golden):
    disjoint = golden.deltas * np.array([[[1, 0, 1], [0, 1, 0]], [[0, 1, 0], [1, 0, 1]]])
    np.testing.assert_allclose(
        type(golden)(golden.base, disjoint).on_deltas(ram()), golden.base + disjoint.sum(0), **CLOSE
    )
    copies = type(golden)(golden.base, golden.deltas[[0, 0]])
    np.testing.assert_allclose(copies.on_deltas(ram()), copies.models[0], **CLOSE)


def divergence(x, y):
    p, q = (np.exp(v - v.max(-1, keepdims=True)) for v in (x, y))
    p, q = (v / v.sum(-1, keepdims=True) + 1e-8 for v in (p, q))
    return (p * np.log(p / q)).sum(-1, keepdims=True)


def test_arcee_fusion_equals_numpy(two):
    assert_fused(two, two.base, two.models[0])


@pytest.mark.parametrize("seed", range(5))
def test_arcee_fusion_of_many_entries_equals_numpy(golden, seed):
    rng = np.random.default_rng(seed)
    base = rng.normal(0, 1, (40, 50)).astype(np.float32).astype(float)
    delta = (rng.normal(0, 0.2, (1, 40, 50)) * rng.random((1, 40, 50)) ** 3).astype(np.float32).astype(float)
    operands = type(golden)(base, delta)
    assert_fused(operands, base, operands.models[0].astype(np.float32).astype(float))


def assert_fused(two, base, model):
    rows = np.atleast_1d(model), np.atleast_1d(base)
    score = (np.abs(rows[0] - rows[1]) * divergence(*rows)).astype(np.float32).reshape(base.shape)
    ordered = np.sort(score, axis=None)
    first, middle, third = (float(ordered[int(q * (ordered.size - 1))]) for q in (0.25, 0.5, 0.75))
    want = np.where(score >= np.float32(middle + 1.5 * (third - first)), model, base)
    np.testing.assert_allclose(two.on_weights(arcee_fusion(), base=True, picked=[0]), want, **CLOSE)


def test_arcee_fusion_takes_outliers_and_all_of_equals():
    base = torch.zeros(4, 5)
    model = torch.full((4, 5), 0.1) * torch.arange(1, 21).reshape(4, 5) / 20
    model[2, 3] = 4.0
    got = run_whole(arcee_fusion(), as_stack(model, base=base), Facts((4, 5)))
    assert got[2, 3] == 4.0
    assert (got != 0).sum() < 10
    same = run_whole(arcee_fusion(), as_stack(model, base=model), Facts((4, 5)))
    torch.testing.assert_close(same, model, rtol=0, atol=0)


def test_a_number_is_never_important(two):
    got = run_whole(arcee_fusion(), as_stack(torch.tensor(2.0), base=torch.tensor(1.0)), Facts(()))
    assert got.shape == ()
    assert float(got) == 2.0  # all importances are zero, and none is below their median
    assert np.isfinite(two.on_weights(linear())).all()
