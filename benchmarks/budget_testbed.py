"""Accuracy under a budget, on the eight experts of the testbed vision-8."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from benchmarks.budget_run import drawn

from solera import testbeds
from solera.app.analyzing import analyze
from solera.app.live import merge_tensors
from solera.app.swapping import load_into
from solera.errors import SoleraError
from solera.evaluate import score
from solera.plan import plan
from solera.recipe.budgets import budget_of
from solera.recipe.values import Merge, Operand, Recipe
from solera.types import ModelRef

SHARES = ("0", "2%", "5%", "10%", "20%", "35%", "50%", "75%", "inf")
GRID = {"task_arithmetic": [{"weight": w} for w in (0.1, 0.15, 0.2, 0.3)],
        "ties": [{"density": d, "lambda_": s} for d in (0.2, 0.5) for s in (0.6, 1.0, 1.5)]}  # fmt: skip


def rows(seed: int, size: str = "small") -> Iterator[dict[str, Any]]:
    """Test accuracy by share; settings are tuned once, on validation items and without a budget."""
    try:
        built = testbeds.open_built("vision-8", size=size, seed=seed)  # type: ignore[arg-type]
    except SoleraError:
        return
    torch.set_num_threads(1)
    module, folders = testbeds.load(built, built.base), [str(f) for f in built.experts.values()]
    with tempfile.TemporaryDirectory() as place:
        analyze(folders, str(built.base), threads=1, out=place)
        for method, grid in GRID.items():
            tuned = max(grid, key=lambda values: _accuracy(built, module, _recipe(built, method, values), "validation"))
            for share in SHARES:
                recipe = replace(_recipe(built, method, tuned), budget=budget_of(share, sketches=place))
                about = {"table": "accuracy", "seed": seed, "method": method, "values": tuned, "budget": share}
                for how in ("chosen", *(("random",) if share not in ("0", "inf") else ())):
                    with drawn() if how == "random" else nullcontext():
                        yield {**about, "how": how, **_figures(built, module, recipe)}


def _figures(built: Any, module: Any, recipe: Recipe) -> dict[str, Any]:
    """Bytes, what is left out of all changes together, and accuracy."""
    spent = plan(recipe).budget
    assert spent is not None
    total = sum(m.total for m in spent.mass.values())
    left = sum(m.left_out for m in spent.mass.values()) / total if total else 0.0
    found = _accuracy(built, module, recipe, "test")
    return {"read": spent.planned, "total": spent.total, "left_out": left, "accuracy": found}


def _recipe(built: Any, method: str, values: dict[str, float]) -> Recipe:
    models = tuple(Operand(ModelRef(str(folder))) for folder in built.experts.values())
    return Recipe(Merge(method, models, base=ModelRef(str(built.base)), parameters=values))


def _accuracy(built: Any, module: Any, recipe: Recipe, split: str) -> float:
    """Mean over the held-in tasks, in percent."""
    load_into(module, merge_tensors(recipe, threads=1))
    tasks = [task for task in testbeds.tasks(built, split) if task.group == "held-in"]  # type: ignore[arg-type]
    found = [row.value for row in score(module, "", tasks) if row.metric == "accuracy"]
    return 100 * sum(found) / len(found)
