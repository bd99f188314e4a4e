"""Pooled page embeddings: counts, clusters, means, late interaction, files."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy.cluster.hierarchy import fcluster, linkage
from torch.nn.functional import normalize

from solera.errors import BadParameter, CorruptFile, NonFinite, NotFound, RunError, TargetInUse, UnknownName
from solera.inference.tokens import (
    clusters,
    maxsim,
    ndcg,
    pool_file,
    pooled,
    pooled_all,
    pooled_in_rows,
    pooled_in_squares,
    pruned,
)
from solera.inference.tokens.pooling import POOLERS, pooler


def page(vectors=48, channels=16, seed=0):
    return normalize(torch.randn(vectors, channels, generator=torch.Generator().manual_seed(seed)), dim=-1)


def arc(*degrees):
    """Vectors in the plane, by their angle."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1).float()


@pytest.mark.parametrize("linkage_", ["rows", "ward"])
def test_worked_clusters(linkage_):
    """Two near 0, three near 90, one at 180 degrees: three groups, then the two on the right join or stay."""
    found = clusters(arc(0, 90, 5, 95, 180, 88), [6, 5, 3, 1], linkage=linkage_)
    assert found[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert found[1].tolist() == [0, 1, 2, 3, 4, 1]
    assert found[2].tolist() == [0, 1, 0, 1, 2, 1]
    assert found[3].tolist() == [0] * 6
    three = pooled(arc(0, 90, 5, 95, 180, 88), 2, linkage=linkage_)
    torch.testing.assert_close(three[0], arc(2.5)[0])
    torch.testing.assert_close(three[2], arc(180)[0])


def reference(vectors, factor):
    """What colpali-engine does: rows of the distance matrix as observations, at most so many clusters, means."""
    distances = 1 - (vectors @ vectors.T).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = linkage(distances, metric="euclidean", method="ward")
    labels = fcluster(tree, t=max(len(vectors) // factor, 1), criterion="maxclust")
    return torch.stack([normalize(vectors[torch.tensor(labels == k)].mean(0), dim=0) for k in np.unique(labels)])


@pytest.mark.parametrize("factor", [2, 4, 9, 49])
def test_the_same_as_the_package(factor):
    made, want = pooled(page(100), factor), reference(page(100), factor)
    assert len(made) == len(want)
    pairs = (made @ want.T).argmax(0)
    assert sorted(pairs.tolist()) == list(range(len(want)))
    torch.testing.assert_close(made[pairs], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", POOLERS)
def test_factor_one_is_the_page_itself(way):
    assert torch.equal(pooler(way)(page(), 1), page())


@pytest.mark.parametrize("way", POOLERS)
@pytest.mark.parametrize(("vectors", "factor", "left"), [(48, 9, 5), (48, 49, 1), (7, 2, 3), (1, 4, 1)])
def test_how_many_are_left_and_how_long_they_are(way, vectors, factor, left):
    found = pooler(way)(page(vectors), factor)
    assert found.shape == (left, 16)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(left))


@pytest.mark.parametrize("way", ["rows", "ward"])
def test_equal_vectors_give_equal_vectors(way):
    same = page(1).expand(30, -1)
    found = pooler(way)(same, 4)
    torch.testing.assert_close(found, page(1).expand(7, -1))


def test_one_tree_for_all_factors():
    for factor, made in zip((1, 4, 9), pooled_all(page(), (1, 4, 9)), strict=True):
        assert torch.equal(made, pooled(page(), factor))


def test_order_of_the_vectors_does_not_matter():
    order = torch.randperm(48, generator=torch.Generator().manual_seed(3))
    one, two = pooled(page(), 4), pooled(page()[order], 4)
    best = (one @ two.T).argmax(1)
    torch.testing.assert_close(two[best], one, rtol=1e-5, atol=1e-6)


def test_a_page_is_less_like_itself_the_more_it_is_pooled():
    pages = [page(seed=k) for k in range(8)]
    means = [
        sum(float(maxsim(one, [pooled(one, factor)])) for one in pages) / len(pages) for factor in (1, 2, 4, 9, 25)
    ]
    assert means == sorted(means, reverse=True)
    assert means[0] == pytest.approx(48, rel=1e-5)


def test_half_precision_stays():
    assert pooled(page().half(), 4).dtype == torch.float16


def test_by_place():
    grid = normalize(torch.arange(1.0, 33.0).reshape(16, 2), dim=-1)
    rows = pooled_in_rows(grid, 4)
    torch.testing.assert_close(rows[0], normalize(grid[:4].sum(0), dim=0))
    squares = pooled_in_squares(grid, 2, columns=4)
    torch.testing.assert_close(squares[1], normalize(grid[[2, 3, 6, 7]].sum(0), dim=0))
    assert pooled_in_squares(grid, 3, columns=4).shape == (4, 2)  # the edge has smaller squares
    assert {tuple(row) for row in pruned(grid, 4).tolist()} <= {tuple(row) for row in grid.tolist()}
    assert not torch.equal(pruned(grid, 4, seed=1), pruned(grid, 4, seed=2))


def test_late_interaction_and_ranking():
    query = torch.eye(3)[:2]
    pages = [torch.eye(3), torch.eye(3)[1:], torch.eye(3)[2:]]
    assert maxsim(query, pages).tolist() == [2.0, 1.0, 0.0]
    assert maxsim(query, [torch.eye(3)] * 2).tolist() == [2.0, 2.0]
    scores = torch.tensor([0.5, 0.9, 0.7, 0.1, 0.2, 0.3])
    assert ndcg(scores, 1) == 1.0
    assert ndcg(scores, 0) == pytest.approx(1 / 2)
    assert ndcg(scores, 3) == 0.0
    assert ndcg(scores, [1, 0]) == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3)))
    assert ndcg(scores, 3, at=6) == pytest.approx(1 / np.log2(7))


@pytest.mark.parametrize("bad", [torch.zeros(0, 4), torch.zeros(4), torch.zeros(4, 2, dtype=torch.int64)])
def test_no_page(bad):
    for way in POOLERS.values():
        with pytest.raises(BadParameter):
            way(bad, 2)


@pytest.mark.parametrize("factor", [0, -3, 2.5, True])
def test_bad_factors(factor):
    for way in POOLERS.values():
        with pytest.raises(BadParameter, match="factor"):
            way(page(), factor)


def test_other_bad_input():
    broken = page()
    broken[3] = float("nan")
    with pytest.raises(NonFinite):
        pooled(broken, 2)
    for count in (0, 49):
        with pytest.raises(BadParameter):
            clusters(page(), [count])
    with pytest.raises(UnknownName, match="ward"):
        clusters(page(), [2], linkage="word")
    with pytest.raises(UnknownName, match="rows"):
        pooler("row")
    with pytest.raises(BadParameter):
        pooled_in_squares(page(), 2, columns=7)
    with pytest.raises(BadParameter):
        maxsim(page(), [])
    for wrong in ([torch.zeros(0, 2)], [torch.zeros(3, 3)], [torch.zeros(2)]):
        with pytest.raises(BadParameter, match="do not fit"):
            maxsim(torch.eye(2), [torch.eye(2), *wrong])
    with pytest.raises(BadParameter):
        ndcg(torch.zeros(3), [])


def test_files(tmp_path):
    pages = {f"page {k}": page(40 + 9 * k, seed=k).half() for k in range(3)}
    save_file(pages, tmp_path / "pages.safetensors", {"model": "m"})
    done = pool_file(tmp_path / "pages.safetensors", tmp_path / "new" / "pooled.safetensors", 9)
    made = load_file(done.path)
    assert list(made) == list(pages)
    for name, vectors in pages.items():
        assert torch.equal(made[name], pooled(vectors, 9))
    assert (done.pages, done.before, done.after) == (3, 147, 15)
    assert done.bytes_after < done.bytes_before / 4
    with safe_open(done.path, "pt") as file:
        assert file.metadata() == {"model": "m"}


def test_bad_files(tmp_path):
    source, target = tmp_path / "pages.safetensors", tmp_path / "pooled.safetensors"
    with pytest.raises(NotFound):
        pool_file(source, target, 9)
    source.write_bytes(b"nothing")
    with pytest.raises(CorruptFile):
        pool_file(source, target, 9)
    save_file({"ok": page(), "ids": torch.arange(4)}, source)
    with pytest.raises(BadParameter, match="ids"):
        pool_file(source, target, 9)
    save_file({"ok": page(), "broken": page() / 0}, source)
    for way in ("rows", "sequence", "random"):
        with pytest.raises(NonFinite, match="where: broken"):
            pool_file(source, target, 9, way=way)
    assert [file.name for file in tmp_path.iterdir()] == ["pages.safetensors"]
    save_file({"ok": page()}, source)
    with pytest.raises(BadParameter, match="factor"):
        pool_file(source, target, 0)
    pool_file(source, target, 9)
    with pytest.raises(TargetInUse):
        pool_file(source, target, 9)
    with pytest.raises(RunError, match="cannot be written"):
        pool_file(source, target / "below.safetensors", 9)
