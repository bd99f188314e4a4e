# ruff: noqa: FBT003 - values are written as recipes have them
"""A small set of cards, so that these tests do not depend on which methods are registered."""

from __future__ import annotations

import pytest

from solera import registry
from solera.registry import Card, Parameter

WEIGHT = Parameter("weight", "float", 1.0, per_model=True)
DENSITY = Parameter("density", "float", 0.2, per_model=True, low=0, high=1, open_low=True)
LAMBDA = Parameter("lambda", "float", 1.0)
NORMALIZE = Parameter("normalize", "bool", True)


def made(name, space, base, models, *parameters, variants=None, random=False):
    """A card with what recipes look at."""
    return Card(
        name,
        f"somewhere:{name}",
        "",
        space,
        "element",
        "",
        "",
        base,
        models,
        True,
        "exact",
        random,
        1,
        parameters,
        variants or {},
    )


DELTA, PLAIN, EITHER = "delta >> delta", "weight >> weight", "either >> either"
KTH = Parameter("boundary", "choice", "exact", choices=("exact", "kth"))
CARDS = {
    card.name: card
    for card in (
        made("linear", PLAIN, "none", (1, None), WEIGHT, NORMALIZE, variants={"mergekit": {}}),
        made(
            "ties",
            DELTA,
            "required",
            (1, None),
            WEIGHT,
            DENSITY,
            LAMBDA,
            NORMALIZE,
            KTH,
            variants={"mergekit": {"density": 1.0}},
        ),
        made(
            "dare_ties",
            DELTA,
            "required",
            (1, None),
            WEIGHT,
            DENSITY,
            LAMBDA,
            variants={"mergekit": {"density": 1.0}},
            random=True,
        ),
        made("task_arithmetic", DELTA, "required", (1, None), WEIGHT, LAMBDA, NORMALIZE, variants={"mergekit": {}}),
        made(
            "slerp",
            PLAIN,
            "optional",
            (1, 2),
            Parameter("t", "float", required=True, low=0, high=1),
            variants={"mergekit": {}},
        ),
        made(
            "nuslerp",
            EITHER,
            "optional",
            (2, 2),
            WEIGHT,
            Parameter("flatten", "bool", True),
            Parameter("row_wise", "bool", False),
            variants={"mergekit": {}},
        ),
        made(
            "karcher",
            PLAIN,
            "none",
            (1, None),
            WEIGHT,
            Parameter("max_iter", "int", 10, low=1),
            Parameter("tol", "float", 1e-5, low=0, open_low=True),
            variants={"mergekit": {}},
        ),
        made(
            "model_stock",
            DELTA,
            "required",
            (2, None),
            Parameter("filter_wise", "bool", False),
            variants={"mergekit": {}},
        ),
        made("passthrough", PLAIN, "none", (1, 1), Parameter("scale", "float", 1.0, per_model=True)),
    )
}


@pytest.fixture(autouse=True)
def cards(monkeypatch):
    monkeypatch.setattr(registry, "cards", lambda: dict(CARDS))
    monkeypatch.setattr(registry, "card", CARDS.__getitem__)
    return CARDS
