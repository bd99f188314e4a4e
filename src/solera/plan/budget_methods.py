"""Methods under a budget: who must be refused, which thresholds sketches give, what a model's change is worth.

Asked of the fused kernel where a call has one, so that ordinary merges are planned without torch; else of the chain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from solera.plan import budget_kernels
from solera.plan.budget_values import Ranks
from solera.plan.chains import chain_of, kernel_of, statistics_of
from solera.plan.tasks import Call, LeafTask
from solera.types import DType, Scope


def why_refused(task: LeafTask) -> str:
    """Why a task's method cannot do with part of its inputs; "" where it can."""
    if statistics_of(task.call):
        return f"it reads statistics ({', '.join(statistics_of(task.call))}), which speak of whole models"
    return _why_refused(task.call, len(task.operands), task.delta, task.compute in (DType.F32, DType.F64))


@lru_cache(maxsize=1024)
def _why_refused(call: Call, models: int, delta: bool, wide: bool) -> str:
    kernel = kernel_of(call, models, delta=delta)
    if kernel is not None:
        step, kept = budget_kernels.unranked(kernel), budget_kernels.leaves_base
        same = step is not None or kept(kernel)
        some = bool(kernel.passes)
    else:
        from solera.plan import budget_chains

        chain = chain_of(call)
        step = budget_chains.unranked(chain, models) if delta else next(iter(chain.summaries), None)
        same = step is not None or budget_chains.leaves_base(chain, models, delta=delta)
        some = bool(chain.summaries)
    if step is not None:
        return f"its step `{_name(call, step)}` needs a summary of all inputs, which no sketch can stand for"
    if some and not wide:
        return "it ranks differences that are rounded to 16 bits, which sketches do not know"
    return "" if same else "it makes something else than the base out of models that equal the base"


def _name(call: Call, step: int) -> str:
    return chain_of(call).steps[step].name


@lru_cache(maxsize=1024)
def ranked(call: Call, models: int, *, delta: bool) -> tuple[tuple[int, Scope, Ranks], ...]:
    """(step, scope, ranks) of the thresholds that sketches give; empty for methods that need none."""
    kernel = kernel_of(call, models, delta=delta)
    if kernel is not None:
        return tuple(budget_kernels.ranked(kernel))
    from solera.plan import budget_chains

    return tuple(budget_chains.ranked(chain_of(call)))


@lru_cache(maxsize=1024)
def coefficients(call: Call, models: int, *, delta: bool) -> tuple[float, ...] | None:
    """c_k where the result is base + sum_k c_k delta_k with fixed coefficients; else None.

    Weights on weights count too, where they add up to 1.
    """
    kernel = kernel_of(call, models, delta=delta)
    if kernel is not None:
        return budget_kernels.coefficients(kernel)
    from solera.plan import budget_chains

    return budget_chains.coefficients(chain_of(call), models)


@lru_cache(maxsize=1024)
def importance(call: Call, models: int, *, delta: bool) -> tuple[float, ...]:
    """How much a unit of each model's difference counts: the coefficients or, where there are none, the weights."""
    exact = coefficients(call, models, delta=delta)
    if exact is not None:
        return tuple(abs(c) for c in exact)
    named: list[dict[str, Any]] = [dict(part.parameters) for part in (call, *call.steps)]
    weight = next((p["weight"] for p in named if p.get("weight") is not None), 1.0)
    each = tuple(weight) if isinstance(weight, Sequence) else (weight,) * models
    usable = len(each) == models and all(isinstance(w, int | float) and math.isfinite(w) for w in each)
    return tuple(abs(float(w)) for w in each) if usable else (1.0,) * models
