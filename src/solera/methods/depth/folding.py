"""Which layers are merged, in what order, and what share each has in the end.

Source: "Pruning via Merging" (MKA, arXiv:2406.16330), and its official code, which differ: see `fold`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from solera.errors import BadParameter, PlanError

Pairs = Literal["similar", "last"]
"""The most similar neighbours, as in the paper; or always the last two, as in its code."""

Alpha = Literal["sigmoid", "similarity"] | float
"""Share of the lower layer: the pair's similarity, as in the paper; a number; or what its code computes.

That is sigmoid(s_l / (s_l + s_m)), with mean similarities s.
"""


@dataclass(frozen=True, slots=True)
class Fold:
    """One layer of the result: the layers that it is made of, in order, and their shares, which add up to 1."""

    layers: tuple[int, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """One merge: layers that were in the lower one and in the upper one, how alike they were, the lower one's share."""

    lower: tuple[int, ...]
    upper: tuple[int, ...]
    similarity: float
    share: float


def removed_count(layers: int, *, ratio: float | None = None, remove: int | None = None) -> int:
    """How many layers go.

    Args:
        layers: of the model.
        ratio: share that goes, rounded to whole layers.
        remove: or how many.

    Raises:
        BadParameter: not exactly one is given, it is out of range, or no layer would be left.

    Example:
        >>> removed_count(32, ratio=0.4375), removed_count(8, remove=3)
        (14, 3)
    """
    if (ratio is None) == (remove is None):
        raise BadParameter("How many layers are to go is not clear.", want="a ratio, or a number of layers")
    if ratio is not None and not 0 <= ratio < 1:
        raise BadParameter("The ratio is not usable.", got=ratio, want="a share in [0, 1)")
    count = remove if remove is not None else math.floor((ratio or 0.0) * layers + 0.5)
    if not 0 <= count < layers:
        raise BadParameter("So many layers cannot go.", got=f"{count} of {layers}", want=f"0 to {max(0, layers - 1)}")
    return count


def fold(
    similarity: Tensor,
    count: int,
    *,
    pairs: Pairs = "similar",
    alpha: Alpha = "similarity",
    kinds: Sequence[Hashable] = (),
) -> tuple[tuple[Fold, ...], tuple[Joined, ...]]:
    """Merge neighbouring layers until `count` are gone; returns the layers of the result, and the merges in order.

    What is merged already is merged again as one layer: its similarity to a neighbour is the mean over their layers.

    Args:
        similarity: of all pairs of layers, (layers, layers).
        count: how many layers go.
        pairs: see `Pairs`.
        alpha: see `Alpha`; 1 keeps the lower layer alone, which is plain dropping.
        kinds: what must be equal for two layers to be merged, one for each; empty: nothing.

    Raises:
        BadParameter: `count` or `alpha` is out of range, a word is not known.
        PlanError: no two neighbours are of one kind.

    Differs:
        `reading: ours` for repeated merges: the paper does not say what a merged layer is similar to.

    Example:
        >>> import torch
        >>> alike = torch.tensor([[1.0, 0.2, 0.1], [0.2, 1.0, 0.6], [0.1, 0.6, 1.0]])
        >>> layers, merges = fold(alike, 1, alpha="similarity")
        >>> [(one.layers, [round(share, 2) for share in one.shares]) for one in layers]
        [((0,), [1.0]), ((1, 2), [0.6, 0.4])]
    """
    removed_count(len(similarity), remove=count)
    check_words(pairs, alpha)
    groups = [Fold((layer,), (1.0,)) for layer in range(len(similarity))]
    merges = []
    for _ in range(count):
        place = _pair(similarity, groups, pairs, kinds)
        merges.append(_join(similarity, groups[place], groups[place + 1], alpha))
        groups[place : place + 2] = [_folded(groups[place], groups[place + 1], merges[-1].share)]
    return tuple(groups), tuple(merges)


def check_words(pairs: str, alpha: Alpha) -> None:
    """Whether pairs and share are known words, or a share in [0, 1].

    Raises:
        BadParameter: they are not.
    """
    if pairs not in ("similar", "last"):
        raise BadParameter("`pairs` is not usable.", got=pairs, want="similar or last")
    number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
    if not (0 <= float(alpha) <= 1 if number else alpha in ("sigmoid", "similarity")):
        raise BadParameter("`alpha` is not usable.", got=alpha, want="sigmoid, similarity or a share in [0, 1]")


def _pair(similarity: Tensor, groups: Sequence[Fold], pairs: Pairs, kinds: Sequence[Hashable]) -> int:
    """Place of the lower of the two that are merged next; of equally similar ones the uppermost."""
    fits = [i for i in range(len(groups) - 1) if not kinds or _kind(groups[i], kinds) == _kind(groups[i + 1], kinds)]
    if pairs == "last":
        fits = [i for i in fits if i == len(groups) - 2]
    if not fits:
        want = "two neighbours with tensors of one shape and one entry in the config's lists"
        raise PlanError("No two layers can be merged.", got=f"{len(groups)} layers left", want=want)
    return max(fits, key=lambda i: (between(similarity, groups[i].layers, groups[i + 1].layers), i))


def _kind(group: Fold, kinds: Sequence[Hashable]) -> Hashable:
    return kinds[group.layers[0]]


def between(similarity: Tensor, lower: Sequence[int], upper: Sequence[int]) -> float:
    """Mean similarity of the layers of two groups."""
    return float(similarity[list(lower)][:, list(upper)].mean())


def _join(similarity: Tensor, lower: Fold, upper: Fold, alpha: Alpha) -> Joined:
    alike = between(similarity, lower.layers, upper.layers)
    means = [float(similarity[list(one.layers)].mean()) for one in (lower, upper)]
    if alpha == "sigmoid":
        share = 1 / (1 + math.exp(-means[0] / sum(means)))
    else:
        share = min(1.0, max(0.0, alike if alpha == "similarity" else float(alpha)))
    return Joined(lower.layers, upper.layers, alike, share)


def _folded(lower: Fold, upper: Fold, share: float) -> Fold:
    shares = (*(share * one for one in lower.shares), *((1 - share) * one for one in upper.shares))
    return Fold((*lower.layers, *upper.layers), shares)
