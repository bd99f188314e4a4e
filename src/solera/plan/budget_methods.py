"""Methods and what is not read: do zero deltas leave the base, what are coefficients, what can a sketch stand for?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from solera.plan.chains import chain_of, statistics_of, work_of
from solera.plan.tasks import Call, LeafTask
from solera.types import DType, Scope

if TYPE_CHECKING:
    from solera.ops.contract import Chain, Stack, Step
    from solera.ops.order import OrderStatistics

_ADDS = ("weigh", "add_models", "scale_by")


def why_refused(task: LeafTask) -> str:
    """Why a task's method cannot do with part of its inputs; "" where it can."""
    if statistics_of(task.call):
        return f"it reads statistics ({', '.join(statistics_of(task.call))}), which speak of whole models"
    return _why_refused(task.call, len(task.operands), task.delta, task.compute)


@lru_cache(maxsize=1024)
def _why_refused(call: Call, models: int, delta: bool, compute: DType) -> str:
    chain = chain_of(call)
    for i in chain.summaries:
        if not _is_ranked(chain, i, models, delta, compute):
            return f"its step `{chain.steps[i].name}` needs a summary of all inputs, which no sketch can stand for"
    return _why_not_base(chain, models, delta)


def _why_not_base(chain: Chain, models: int, delta: bool) -> str:
    """Try the chain on models that are the base: what is not read must come out as the base."""
    import torch

    from solera.ops.contract import Facts, Stack, run_whole

    base = torch.linspace(-1.0, 1.0, 32).reshape(4, 8)
    values = torch.zeros(models, 4, 8) if delta else base.expand(models, 4, 8).clone()
    names = tuple(f"model#{k}" for k in range(models))
    facts = Facts(shape=(4, 8), leaf="probe", models=names, layer=0, layers=2)
    try:
        made = run_whole(chain, Stack(values, base), facts)
    except Exception as error:  # noqa: BLE001 - whatever a method does with such input, it cannot be used
        return f"it cannot merge models that equal the base ({type(error).__name__})"
    want = torch.zeros(4, 8) if delta else base
    same = bool(torch.isfinite(made).all()) and torch.allclose(made.reshape(4, 8), want, rtol=1e-5, atol=1e-6)
    return "" if same else "it makes something else than the base out of models that equal the base"


def _is_ranked(chain: Chain, i: int, models: int, delta: bool, compute: DType) -> bool:
    """Whether a summary ranks the task vectors' own magnitudes, as they come from the files."""
    from solera.ops.order import OrderStatistics

    summary = chain.steps[i].summary
    wide = compute in (DType.F32, DType.F64)
    return isinstance(summary, OrderStatistics) and i == 0 and delta and wide and _is_plain_rows(summary, models)


def _is_plain_rows(summary: OrderStatistics, models: int) -> bool:
    import torch

    from solera.ops.contract import Facts

    values = torch.arange(models * 6, dtype=torch.float32).reshape(models, 6) - 5
    try:
        rows = summary.of(_stack(values), Facts(shape=(6,)))
    except Exception:  # noqa: BLE001 - then it is something else
        return False
    return rows.shape == values.shape and bool((rows.abs() == values.abs()).all())


def _stack(values: object) -> Stack:
    from solera.ops.contract import Stack

    return Stack(values, values[0])  # type: ignore[arg-type, index]


def ranked(task: LeafTask) -> Iterator[tuple[int, Scope, OrderStatistics]]:
    """(step, scope, summary) of the thresholds that sketches give; empty for methods that need none."""
    from solera.ops.order import OrderStatistics

    for need in work_of(task).needs:
        summary = chain_of(task.call).steps[need.step].summary
        if isinstance(summary, OrderStatistics):
            yield need.step, need.scope, summary


def coefficients(call: Call, models: int) -> tuple[float, ...] | None:
    """c_k where the result is base + sum_k c_k delta_k with fixed coefficients; else None.

    Weights on weights count too, where they add up to 1.
    """
    steps = chain_of(call).steps
    if not steps or any(step.name not in _ADDS for step in steps):
        return None
    found, total = [1.0] * models, float(models)
    for step in steps:
        found, total = _after(step, found, total)
    return tuple(found)


def _after(step: Step, found: list[float], total: float) -> tuple[list[float], float]:
    given = step.parameters
    if step.name == "weigh":
        found = [c * w for c, w in zip(found, _spread(given["weight"], len(found)), strict=True)]
        return found, sum(_spread(given["weight"], len(found)))
    if step.name == "scale_by":
        return [c * float(given["factor"]) for c in found], total
    divided = given["normalize"] and abs(total) > 1e-8  # as ops.combine.add_models does
    return [c / total for c in found] if divided else found, total


def importance(call: Call, models: int) -> tuple[float, ...]:
    """How much a unit of each model's difference counts: the coefficients or, where there are none, the weights."""
    exact = coefficients(call, models)
    if exact is not None:
        return tuple(abs(c) for c in exact)
    named = [dict(part.parameters) for part in (call, *call.steps)]
    weight = next((p["weight"] for p in named if p.get("weight") is not None), 1.0)
    spread = _spread(weight, models)
    usable = len(spread) == models and all(isinstance(w, int | float) and math.isfinite(w) for w in spread)
    return tuple(abs(float(w)) for w in spread) if usable else (1.0,) * models


def _spread(weight: object, models: int) -> list[float]:
    if weight is None:
        return [1.0] * models
    return [float(w) for w in weight] if isinstance(weight, Sequence) else [float(weight)] * models  # type: ignore[arg-type]
