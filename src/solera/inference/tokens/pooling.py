"""Fewer vectors for a page: patch embeddings merged by hierarchical clustering, or by their place; or pruned.

Source: "Towards Storage-Efficient Visual Document Retrieval: An Empirical Study on Reducing Patch-Level Embeddings"
(Light-ColPali, arXiv:2506.04997). Embeddings are those after the final projection, of unit norm; queries stay whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from solera.errors import BadParameter, MissingExtra, NonFinite, UnknownName, nearest

Linkage = Literal["rows", "ward"]
"""What Ward's linkage runs on: rows of the distance matrix as if they were points, or the embeddings themselves."""


def pooled_count(vectors: int, factor: int) -> int:
    """Vectors that are left.

    Raises:
        BadParameter: the factor is below 1, or there are no vectors.

    Example:
        >>> pooled_count(768, 9), pooled_count(5, 49)
        (85, 1)
    """
    if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1:
        raise BadParameter("The merging factor is not usable.", got=repr(factor), want="a whole number, 1 or more")
    if vectors < 1:
        raise BadParameter("The page has no vectors.", want="one or more")
    return max(vectors // factor, 1)


def clusters(page: Tensor, counts: Sequence[int], *, linkage: Linkage = "rows") -> tuple[Tensor, ...]:
    """Cluster a page's vectors into several numbers of groups, from one tree.

    Shape: page (vectors, channels) -> (vectors,) for each count: groups from 0, by the first vector of each

    Args:
        page: vectors of unit norm; distance is 1 - cosine.
        counts: numbers of groups; exactly so many are made.
        linkage: rows takes each vector's distances to all others as its coordinates, as colpali-engine does; ward is
            the textbook's, on the vectors.

    Raises:
        BadParameter: a count is not within 1 and the number of vectors. UnknownName: no such linkage.
        MissingExtra: scipy is not installed.

    Cost: rows vectors^3 / 2 products, ward vectors^2; memory vectors^2.

    Example:
        >>> page = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.96, 0.28], [0.28, 0.96]])
        >>> [found.tolist() for found in clusters(page, [4, 2], linkage="ward")]
        [[0, 1, 2, 3], [0, 1, 0, 1]]
    """
    vectors = len(page)
    for count in counts:
        if not 1 <= count <= vectors:
            raise BadParameter("So many groups cannot be made.", got=count, want=f"1 to {vectors}")
    if vectors == 1:
        return tuple(torch.zeros(1, dtype=torch.int64) for _ in counts)
    tree = _tree(page, linkage)
    return tuple(_cut(tree, count) for count in counts)


def _tree(page: Tensor, linkage: Linkage) -> list[tuple[int, int]]:
    """Pairs that are joined, in order; joined ones are numbered on after the vectors."""
    try:
        from scipy.cluster.hierarchy import linkage as joined
        from scipy.spatial.distance import pdist
    except ImportError:
        raise MissingExtra("tokens", needed_for="clustering of embeddings") from None
    x = page.detach().to("cpu", torch.float32)
    if not bool(x.isfinite().all()):
        raise NonFinite("The page holds NaN or infinity.", got=f"{int((~x.isfinite()).sum())} numbers")
    ways = {"rows": lambda: 1 - x @ x.T, "ward": lambda: x}
    if linkage not in ways:
        raise UnknownName(f"There is no linkage `{linkage}`.", fix=nearest(linkage, ways))
    found = joined(pdist(ways[linkage]().double().numpy()), method="ward")
    return [(int(a), int(b)) for a, b in found[:, :2]]


def _cut(tree: Sequence[tuple[int, int]], count: int) -> Tensor:
    """Groups after all but the last `count - 1` joins; numbered by their first vector."""
    vectors = len(tree) + 1
    root = list(range(2 * vectors - 1))
    for place, pair in enumerate(tree[: vectors - count]):
        for one in pair:
            root[one] = vectors + place
    for one in range(2 * vectors - 2, -1, -1):
        root[one] = root[root[one]]
    names: dict[int, int] = {}
    return torch.tensor([names.setdefault(root[vector], len(names)) for vector in range(vectors)])


def means(page: Tensor, groups: Tensor) -> Tensor:
    """Mean of each group, of unit norm; a group of one is the vector itself.

    Shape: page (vectors, channels), groups (vectors,) -> (groups, channels)

    Example:
        >>> means(torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 1, 1])).tolist()
        [[3.0, 0.0], [0.0, 1.0]]
    """
    count = int(groups.max()) + 1
    index = groups.to(page.device)[:, None].expand_as(page)
    wide = page.to(torch.float32)
    total = wide.new_zeros(count, page.shape[1]).scatter_add(0, index, wide)
    first = wide.new_zeros(count, page.shape[1]).scatter(0, index, wide)
    alone = torch.bincount(groups, minlength=count).to(page.device)[:, None] == 1
    return torch.where(alone, first, torch.nn.functional.normalize(total, dim=-1)).to(page.dtype)


def pooled(page: Tensor, factor: int, *, linkage: Linkage = "rows") -> Tensor:
    """Merge a page's vectors by clustering: `factor` of them into one, on average.

    Shape: (vectors, channels) -> (max(vectors // factor, 1), channels)

    Args:
        page: vectors of unit norm.
        factor: merging factor; 1 gives the page itself.
        linkage: see `clusters`.

    Raises:
        BadParameter: the factor is below 1, the page is no matrix, or empty. NonFinite: it holds NaN or infinity.
        MissingExtra: scipy is not installed.

    Cost: see `clusters`.

    Example:
        >>> page = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]), dim=1)
        >>> pooled(page, 2).shape
        torch.Size([2, 2])
    """
    return pooled_all(page, [factor], linkage=linkage)[0]


def pooled_all(page: Tensor, factors: Sequence[int], *, linkage: Linkage = "rows") -> tuple[Tensor, ...]:
    """The same by several factors, from one tree."""
    check_page(page)
    counts = [pooled_count(len(page), factor) for factor in factors]
    if all(count == len(page) for count in counts):
        return (page,) * len(counts)
    return tuple(means(page, groups) for groups in clusters(page, counts, linkage=linkage))


def check_page(page: Tensor) -> None:
    """Refuse what is no page.

    Raises:
        BadParameter: it is no matrix of numbers, or empty.
    """
    if page.dim() != 2 or not page.is_floating_point() or 0 in page.shape:
        got = f"{page.dtype} {tuple(page.shape)}"
        raise BadParameter("This is no page of embeddings.", got=got, want="floats (vectors, channels), one or more")


def pooled_in_rows(page: Tensor, factor: int) -> Tensor:
    """Merge vectors that follow each other (1-D pooling).

    Example:
        >>> pooled_in_rows(torch.eye(4), 2).shape
        torch.Size([2, 4])
    """
    check_page(page)
    count = pooled_count(len(page), factor)
    return means(page, torch.arange(len(page)) * count // len(page))


def pooled_in_squares(page: Tensor, side: int, *, columns: int) -> Tensor:
    """Merge vectors of each square of `side` x `side` patches (2-D pooling); squares at the edge may be smaller.

    Args:
        page: vectors row by row.
        side: of a square; its square is the merging factor.
        columns: patches in one row of the page.

    Raises:
        BadParameter: the vectors do not fill rows of that length.

    Example:
        >>> pooled_in_squares(torch.eye(16), 2, columns=4).shape
        torch.Size([4, 16])
    """
    check_page(page)
    if columns < 1 or len(page) % columns:
        raise BadParameter("The page has no such rows.", got=f"{len(page)} vectors in rows of {columns}")
    pooled_count(len(page), side)
    place = torch.arange(len(page))
    across = -(-columns // side)
    return means(page, (place // columns) // side * across + (place % columns) // side)


def pruned(page: Tensor, factor: int, *, seed: int = 0) -> Tensor:
    """Keep vectors drawn by chance, as many as merging leaves: what merging must beat.

    Example:
        >>> pruned(torch.eye(6), 3).shape
        torch.Size([2, 6])
    """
    check_page(page)
    count = pooled_count(len(page), factor)
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(page), generator=draw)[:count].sort().values
    return page[chosen.to(page.device)]


Pooler = Callable[[Tensor, int], Tensor]
POOLERS: Mapping[str, Pooler] = MappingProxyType(
    {
        "rows": pooled,
        "ward": lambda page, factor: pooled(page, factor, linkage="ward"),
        "sequence": pooled_in_rows,
        "random": pruned,
    }
)
"""Ways to leave fewer vectors, by name."""


def pooler(name: str) -> Pooler:
    """The way of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in POOLERS:
        raise UnknownName(f"There is no way `{name}` to pool.", fix=nearest(name, POOLERS))
    return POOLERS[name]
