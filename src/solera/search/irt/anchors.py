"""Anchors: the few items that candidates are asked, each standing for a share of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from solera.errors import BadParameter, MissingExtra
from solera.search.irt.response import Array, Items

How = Literal["random", "clusters"]


@dataclass(frozen=True, slots=True)
class Anchors:
    """Places of items among all, ascending, and the share of all items that each stands for; shares add up to 1."""

    places: tuple[int, ...]
    weights: tuple[float, ...]
    of: int

    @property
    def unseen(self) -> tuple[int, ...]:
        """Places of the items that are not asked."""
        return tuple(sorted(set(range(self.of)) - set(self.places)))


def choose(items: Items, count: int, *, how: How = "random", seed: int = 0) -> Anchors:
    """Choose anchors.

    Args:
        items: all of them.
        count: how many are asked.
        how: ``random``, equal shares, as in MERGE3's scripts; ``clusters``: k-means of the items' parameters, the item
            nearest to each centre stands for its cluster, as in tinyBenchmarks.
        seed: of the draw.

    Raises:
        BadParameter: there are fewer items. MissingExtra: scikit-learn is not installed (for clusters).

    Example:
        >>> anchors = choose(Items(np.ones((1, 6)), np.array([0.0, 0.1, 0.0, 3.0, 3.1, 9.0])), 3, how="clusters")
        >>> sorted(round(weight, 2) for weight in anchors.weights)
        [0.17, 0.33, 0.5]
    """
    if not 1 <= count <= len(items):
        raise BadParameter("`--items` is not usable.", got=count, want=f"1 to {len(items)}")
    if how == "random":
        places = sorted(np.random.default_rng(seed).choice(len(items), count, replace=False).tolist())
        return Anchors(tuple(places), (1 / count,) * count, len(items))
    return _clustered(items, count, seed)


def _clustered(items: Items, count: int, seed: int) -> Anchors:
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise MissingExtra("testbeds", needed_for="anchors by clusters") from None
    points: Array = np.vstack([items.discrimination, items.difficulty]).T
    found = KMeans(count, n_init=4, random_state=seed).fit(points)
    gaps = np.linalg.norm(points - found.cluster_centers_[found.labels_], axis=1)
    rows = []
    for cluster in range(count):
        mine = np.flatnonzero(found.labels_ == cluster)
        if mine.size:
            rows.append((int(mine[gaps[mine].argmin()]), mine.size / len(items)))
    rows.sort()
    return Anchors(tuple(place for place, _ in rows), tuple(weight for _, weight in rows), len(items))
