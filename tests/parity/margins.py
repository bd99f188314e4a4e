"""How far the selection statistics of a case stay from their thresholds, from the inputs alone.

A selecting method may differ from another implementation only where a statistic lies on a
threshold. These functions return, per case, the smallest relative distance, so that a test can
assert that the corpus has no such entry and nothing needs to be excluded from a comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import inputs
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def deltas(base: str, models: list[str]) -> list[list[Array]]:
    """Return per tensor the task vectors of the models."""
    start, tables = inputs.tensors(base), [inputs.tensors(m) for m in models]
    return [[t[k].astype(np.float64) - start[k].astype(np.float64) for t in tables] for k in start]


def gap(statistic: Array) -> float:
    """Return the smallest relative distance of neighbours among the non-zero values."""
    values = np.unique(statistic[statistic > 0])
    return float((np.diff(values) / values[1:]).min(initial=1.0)) if values.size else 1.0


def distinct(statistic: Array) -> bool:
    """Say whether no two non-zero values are equal."""
    values = statistic[statistic > 0]
    return len(np.unique(values)) == values.size


def trim_margin(base: str, models: list[str]) -> float:
    """Return the smallest gap of |delta|: a threshold of any density falls into one (0 for equal values)."""
    found = [np.abs(d) for tensor in deltas(base, models) for d in tensor]
    return min(gap(s) if distinct(s) else 0.0 for s in found)


def election_margin(base: str, models: list[str], weights: list[float]) -> float:
    """Return min |sum w d| / sum |w d| over entries and over the non-empty sets of models that kept them."""
    worst = 1.0
    for tensor in deltas(base, models):
        parts = np.stack([w * d for w, d in zip(weights, tensor, strict=True)])
        for bits in range(1, 2 ** len(models)):
            chosen = parts[[i for i in range(len(models)) if bits >> i & 1]]
            size = np.abs(chosen).sum(0)
            share = np.abs(chosen.sum(0))[size > 0] / size[size > 0]
            worst = min(worst, float(share.min(initial=1.0)))
    return worst


def variance_margin(base: str, models: list[str], share: float) -> float:
    """Return the relative gap of the variance over models at the cut of SCE's selection."""
    worst = 1.0
    for tensor in deltas(base, models):
        spread = np.sort(np.stack(tensor).var(axis=0, ddof=1).ravel())[::-1]
        keep = int(share * np.count_nonzero(spread))
        if 0 < keep < spread.size and spread[keep - 1] > 0:
            worst = min(worst, float((spread[keep - 1] - spread[keep]) / spread[keep - 1]))
    return worst


def softmax(x: Array) -> Array:
    """Return the softmax over the last axis."""
    power = np.exp(x - x.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)


def fusion_margin(base: str, model: str) -> float:
    """Return the smallest relative distance of Arcee fusion's importance to its threshold."""
    start, other, worst = inputs.tensors(base), inputs.tensors(model), 1.0
    for key, value in start.items():
        b, x = value.astype(np.float64), other[key].astype(np.float64)
        p, q = softmax(x) + 1e-8, softmax(b) + 1e-8
        importance = np.abs(x - b) * (p * np.log(p / q)).sum(-1, keepdims=True)
        ranked = np.sort(importance.ravel())
        low, middle, high = (ranked[int(f * (ranked.size - 1))] for f in (0.25, 0.5, 0.75))
        threshold = middle + 1.5 * (high - low)
        worst = min(worst, float(np.abs(importance / threshold - 1).min()))
    return worst


def activity_margin(base: str, models: list[str], epsilon: float) -> float:
    """Return the smallest relative distance of a non-zero |delta| to RAM's epsilon."""
    found = [np.abs(d[d != 0]) / epsilon - 1 for tensor in deltas(base, models) for d in tensor]
    return min(float(np.abs(s).min()) for s in found)


def case_margin(document: dict[str, Any]) -> dict[str, float]:
    """Return the margins of a recipe with plain numbers as parameters."""
    method, base = document["merge_method"], document["base_model"]
    listed = [(m["model"], m.get("parameters", {})) for m in document["models"] if m["model"] != base]
    models, top = [m for m, _ in listed], document.get("parameters", {})
    weights = [number(p.get("weight", 1.0)) for _, p in listed]
    trim: Callable[[], float] = lambda: trim_margin(base, models)  # noqa: E731
    elect: Callable[[], float] = lambda: election_margin(base, models, weights)  # noqa: E731
    table: dict[str, dict[str, Callable[[], float]]] = {
        "ties": {"trim": trim, "election": elect},
        "dare_ties": {"election": elect},
        "della": {"election": elect},
        "breadcrumbs": {"trim": trim},
        "breadcrumbs_ties": {"trim": trim, "election": elect},
        "sce": {
            "election": elect,
            "variance": lambda: variance_margin(base, models, top.get("select_topk", 1.0)),
        },
        "arcee_fusion": {"importance": lambda: fusion_margin(base, models[0])},
        "ram": {"activity": lambda: activity_margin(base, models, top.get("epsilon", 1e-5))},
        "ramplus_tl": {"activity": lambda: activity_margin(base, models, top.get("epsilon", 1e-5))},
    }
    return {name: margin() for name, margin in table.get(method, {}).items()}


def number(value: Any) -> float:
    """Return a weight; a gradient or a filter list stands for one (its zeros take no part)."""
    return float(value) if isinstance(value, int | float) else 1.0
