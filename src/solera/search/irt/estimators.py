"""Estimators of a model's accuracy on all items from its answers to anchors: p-IRT, gp-IRT, mp-IRT, gmp-IRT.

Source: "MERGE3: Efficient Evolutionary Merging on Consumer-grade GPUs" (arXiv:2502.10436), section 3; p-IRT and gp-IRT
are those of tinyBenchmarks (arXiv:2402.14992). Official code tommasomncttn/mergenetic, estimator/.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from solera.errors import BadParameter
from solera.search.irt.anchors import Anchors
from solera.search.irt.response import Array, Items, logistic, minimum

Estimator = Literal["mean", "p-irt", "gp-irt", "mp-irt", "gmp-irt"]
NAMES: tuple[Estimator, ...] = ("mean", "p-irt", "gp-irt", "mp-irt", "gmp-irt")

SMALL = 1e-2
"""Weight of the prior of an ability, normal around 0: answers that are all right would have it grow without end."""
HALF = 0.5
"""Share of the answers in gp-IRT and gmp-IRT."""


def ability(answers: Array, items: Items, *, ridge: float = SMALL) -> Array:
    """The ability that makes answers to items most likely, from 0 on.

    Shape: (items,) -> (dimensions,).

    Differs:
        A weak prior keeps it finite; the public code stops a search without end where it happens to be.

    Example:
        >>> items = Items(np.ones((1, 3)), np.array([-1.0, 0.0, 1.0]))
        >>> ability(np.array([1.0, 1.0, 0.0]), items).round(1).tolist()
        [0.8]
    """

    def loss(theta: Array) -> tuple[float, Array]:
        value, gap = _nats(theta, answers, items)
        return value + 0.5 * ridge * float(theta @ theta), items.discrimination @ gap + ridge * theta

    return minimum(loss, np.zeros(items.dimensions))


def mixture(answers: Array, items: Items, parents: Array, *, ridge: float = SMALL) -> Array:
    """Coefficients of the parents' abilities that make answers most likely, from equal shares on.

    The ability of a merged model is taken to be a linear combination of its parents'.

    Shape: (items,), parents (models, dimensions) -> (models,).

    Raises:
        BadParameter: there are fewer than two parents.
    """
    if len(parents) < 2:
        raise BadParameter("The estimator needs the abilities of two parents or more.", got=len(parents))
    even = np.full(len(parents), 1 / len(parents))

    def loss(shares: Array) -> tuple[float, Array]:
        value, gap = _nats(shares @ parents, answers, items)
        away = shares - even
        return value + 0.5 * ridge * float(away @ away), parents @ (items.discrimination @ gap) + ridge * away

    return minimum(loss, even)


def _nats(theta: Array, answers: Array, items: Items) -> tuple[float, Array]:
    """Minus the log-likelihood, and its slope in the logits."""
    p = logistic(theta @ items.discrimination - items.difficulty)
    nats = -np.sum(answers * np.log(p) + (1 - answers) * np.log1p(-p))
    return float(nats), p - answers


def weighted(answers: Array, anchors: Anchors) -> float:
    """Accuracy on the anchors, each with its share."""
    return float(np.dot(anchors.weights, answers))


def p_irt(answers: Array, anchors: Anchors, items: Items, theta: Array) -> float:
    """Answers where they are known, probabilities elsewhere: r sum w y + (1 - r) mean P, r being the share asked.

    Args:
        answers: to the anchors.
        anchors: what is asked.
        items: all of them.
        theta: the ability.

    Example:
        >>> flat = Items(np.zeros((1, 4)), np.zeros(4))
        >>> p_irt(np.array([1.0, 1.0]), Anchors((0, 1), (0.5, 0.5), 4), flat, np.zeros(1))
        0.75
    """
    share = len(anchors.places) / anchors.of
    rest = anchors.unseen
    told = float(items.at(rest).right(theta).mean()) if rest else 0.0
    return share * weighted(answers, anchors) + (1 - share) * told


def half_and_half(answers: Array, anchors: Anchors, estimate: float, *, share: float = HALF) -> float:
    """Mix the accuracy on the anchors with an estimate: what makes p-IRT gp-IRT, and mp-IRT gmp-IRT."""
    return share * weighted(answers, anchors) + (1 - share) * estimate


def estimate(
    name: Estimator,
    answers: Array,
    anchors: Anchors,
    items: Items,
    parents: Array | None = None,
    *,
    share: float = HALF,
) -> float:
    """Accuracy on all items, by one of the estimators.

    Args:
        name: ``mean`` is the accuracy on the anchors with their shares.
        answers: to the anchors.
        anchors: what is asked.
        items: all of them.
        parents: abilities of the merged models, for mp-irt and gmp-irt.
        share: see `half_and_half`.

    Raises:
        BadParameter: mp-irt and gmp-irt without parents.
    """
    if name == "mean":
        return weighted(answers, anchors)
    found = p_irt(answers, anchors, items, theta_of(name, answers, items.at(anchors.places), parents))
    return half_and_half(answers, anchors, found, share=share) if name.startswith("g") else found


def theta_of(name: Estimator, answers: Array, asked: Items, parents: Array | None) -> Array:
    """The ability that an estimator goes by.

    Raises:
        BadParameter: mp-irt and gmp-irt without parents.
    """
    if name in ("p-irt", "gp-irt"):
        return ability(answers, asked)
    if parents is None:
        raise BadParameter(f"`{name}` needs the abilities of the parents.")
    found: Array = mixture(answers, asked, parents) @ parents
    return found
