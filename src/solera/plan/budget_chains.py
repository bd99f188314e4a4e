"""Chains and what is not read: do zero deltas leave the base, what are coefficients, what can a sketch stand for?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from solera.ops.contract import Chain, Facts, Stack, Step, run_whole
from solera.ops.order import OrderStatistics
from solera.plan.budget_values import Ranks
from solera.types import Scope

_ADDS = ("weigh", "add_models", "scale_by")


def unranked(chain: Chain, models: int) -> int | None:
    """The first step that needs something else than ranks of the task vectors' own magnitudes."""
    return next((i for i in chain.summaries if not _is_ranked(chain, i, models)), None)


def ranked(chain: Chain) -> Iterator[tuple[int, Scope, Ranks]]:
    """(step, scope, ranks) of the thresholds that sketches give."""
    for i in chain.summaries:
        summary = chain.steps[i].summary
        if isinstance(summary, OrderStatistics):
            yield i, summary.scope, summary.ranks


def _is_ranked(chain: Chain, i: int, models: int) -> bool:
    summary = chain.steps[i].summary
    if not isinstance(summary, OrderStatistics) or i > 0:
        return False
    values = torch.arange(models * 6, dtype=torch.float32).reshape(models, 6) - 5
    try:
        rows = summary.of(Stack(values, values[0]), Facts(shape=(6,)))
    except Exception:  # noqa: BLE001 - then it is something else
        return False
    return rows.shape == values.shape and bool((rows.abs() == values.abs()).all())


def leaves_base(chain: Chain, models: int, *, delta: bool) -> bool:
    """Try it on models that are the base: what is not read must come out as the base."""
    base = torch.linspace(-1.0, 1.0, 32).reshape(4, 8)
    values = torch.zeros(models, 4, 8) if delta else base.expand(models, 4, 8).clone()
    names = tuple(f"model#{k}" for k in range(models))
    facts = Facts(shape=(4, 8), leaf="probe", models=names, layer=0, layers=2)
    try:
        made = run_whole(chain, Stack(values, base), facts).reshape(4, 8)
    except Exception:  # noqa: BLE001 - whatever a method does with such input, it cannot be used
        return False
    want = torch.zeros(4, 8) if delta else base
    return bool(torch.isfinite(made).all()) and torch.allclose(made, want, rtol=1e-5, atol=1e-6)


def coefficients(chain: Chain, models: int) -> tuple[float, ...] | None:
    """c_k where the result is a sum with fixed coefficients; else None."""
    if not chain.steps or any(step.name not in _ADDS for step in chain.steps):
        return None
    found, total = [1.0] * models, float(models)
    for step in chain.steps:
        found, total = _after(step, found, total)
    return tuple(found)


def _after(step: Step, found: list[float], total: float) -> tuple[list[float], float]:
    given = step.parameters
    if step.name == "weigh":
        weights = spread(given["weight"], len(found))
        return [c * w for c, w in zip(found, weights, strict=True)], sum(weights)
    if step.name == "scale_by":
        return [c * float(given["factor"]) for c in found], total
    divided = given["normalize"] and abs(total) > 1e-8  # as ops.combine.add_models does
    return [c / total for c in found] if divided else found, total


def spread(weight: object, models: int) -> list[float]:
    """One weight per model.

    Example:
        >>> spread(0.5, 2), spread((1, 2), 2), spread(None, 2)
        ([0.5, 0.5], [1.0, 2.0], [1.0, 1.0])
    """
    if weight is None:
        return [1.0] * models
    return [float(w) for w in weight] if isinstance(weight, Sequence) else [float(weight)] * models  # type: ignore[arg-type]
