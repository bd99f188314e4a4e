"""Diffusion maps and shared information: worked values, invariances, agreement with scikit-learn, what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from solera.errors import BadParameter, NonFinite
from solera.methods.depth.similarity import (
    diffusion_map,
    entropy,
    layer_similarity,
    mutual_information,
    ranks,
)


def points(examples=60, channels=4, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(examples, channels, generator=draw, dtype=torch.float64)


def official_map(x, sigma=8.0, alpha=0.5):
    """The published formula, step by step, with the singular vectors that its code takes."""
    distances = ((x[:, None] - x) ** 2).sum(-1).sqrt()
    kernel = torch.exp(-((distances / sigma) ** 0.5))
    p = kernel.sum(0)
    kernel = kernel / (p * p[:, None]) ** alpha
    v = kernel.sum(0).sqrt()
    left = torch.linalg.svd(kernel / torch.outer(v, v))[0][:, :3]
    return left[:, 1:] / left[:, :1]


def test_the_map_is_the_published_one():
    found, want = diffusion_map(points()), official_map(points())
    signs = (found * want).sum(0).sign()
    torch.testing.assert_close(found * signs, want, rtol=1e-6, atol=1e-9)


def test_the_map_does_not_see_where_and_how_the_points_lie():
    turn = torch.linalg.qr(points(4, 4, seed=1))[0]
    found, want = diffusion_map(points() @ turn + 3.0), diffusion_map(points())
    torch.testing.assert_close(found * (found * want).sum(0).sign(), want, rtol=1e-5, atol=1e-7)


def test_ranks():
    assert ranks(torch.tensor([[5.0, 1.0], [2.0, 1.0], [9.0, 0.0]])).tolist() == [[1, 1], [0, 2], [2, 0]]


@pytest.mark.parametrize(("rho", "seed"), [(0.0, 0), (0.6, 1), (0.9, 2), (0.99, 3)])
def test_mutual_information_is_that_of_scikit_learn_and_of_gaussians(rho, seed):
    feature_selection = pytest.importorskip("sklearn.feature_selection")
    a, e = points(800, 2, seed=seed).T
    b = rho * a + math.sqrt(1 - rho**2) * e
    found = mutual_information(a, b)
    # scikit-learn scales by the standard deviation first, which may tip a neighbour
    want = feature_selection.mutual_info_regression(
        (a / a.std())[:, None].numpy(), (b / b.std()).numpy(), n_neighbors=5, random_state=0
    )[0]
    assert found == pytest.approx(want, abs=0.02)
    assert mutual_information(a / a.std(), b / b.std()) == pytest.approx(want, abs=1e-9)
    assert found == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.08)


def test_information_is_symmetric_and_does_not_see_signs():
    a, b = points(80, 2).T
    assert mutual_information(a, b) == pytest.approx(mutual_information(b, a))
    assert mutual_information(a, -b) == pytest.approx(mutual_information(a, b))


def test_entropy_of_a_square():
    draw = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 30
    assert entropy(draw, 20) == pytest.approx(math.log(900), abs=0.15)


def test_similarity():
    x = points(80, 6, seed=1)
    found = layer_similarity(torch.stack([x, x * 1.001, points(80, 6, seed=2)]).float())
    torch.testing.assert_close(found, found.T)
    assert bool((found >= 0).all() and (found <= 1).all())
    assert found[0, 1] > 3 * found[0, 2]
    assert found[0, 1] == pytest.approx(float(found[0, 0]), rel=0.2)


@pytest.mark.parametrize("outputs", [torch.zeros(3, 40, 4), torch.ones(2, 12, 1), torch.eye(12).expand(2, 12, 12)])
def test_degenerate_outputs_give_numbers(outputs):
    """Where the script's root is of a negative product, or of nothing."""
    found = layer_similarity(outputs)
    assert bool(found.isfinite().all())
    assert bool((found >= 0).all() and (found <= 1).all())


def test_order_of_the_examples_does_not_matter():
    x = torch.stack([points(50, 3, seed=k) for k in (1, 2)])
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer_similarity(x[:, order]), layer_similarity(x), rtol=1e-6, atol=1e-8)


def test_bad_outputs():
    with pytest.raises(BadParameter, match="more examples"):
        layer_similarity(torch.zeros(4, 9, 3))
    with pytest.raises(BadParameter):
        layer_similarity(torch.zeros(40, 3))
    broken = torch.zeros(2, 20, 3)
    broken[1, 4, 0] = torch.inf
    with pytest.raises(NonFinite):
        layer_similarity(broken)
