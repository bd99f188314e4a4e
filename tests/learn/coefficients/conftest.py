"""Small merges whose coefficients are learnt, on real tiny models."""

from __future__ import annotations

import pytest
import torch

from solera.app.swapping import load_into
from solera.learn.coefficients import Job, TaskData, learner
from solera.learn.statistics import Batch
from solera.learn.statistics.loading import load_model
from solera.recipe.values import Merge, Operand, Recipe
from solera.types import ModelRef


def swapped(base: ModelRef, merged):
    """State of a live model with the weights of a merge, under live names."""
    module = load_model(base)
    load_into(module, {name: value.float() for name, value in merged.items()})
    return module


def pictures(task: int, rows: int = 6) -> Batch:
    draw = torch.Generator().manual_seed(100 + task)
    return Batch({"pixel_values": torch.randn(rows, 3, 8, 8, generator=draw)})


def texts(task: int, rows: int = 4, length: int = 6) -> Batch:
    ids = torch.randint(1, 60, (rows, length), generator=torch.Generator().manual_seed(200 + task))
    return Batch({"input_ids": ids, "attention_mask": torch.ones_like(ids)})


@pytest.fixture
def job_of(folder_of, tmp_path):
    """(architecture, learner, settings) -> a job of two experts."""

    def make(name="vit", method="adamerging", *, out="out", data=None, recipe=None, more=None, **changes) -> Job:
        base, *experts = (str(folder_of(name, k)) for k in range(3))
        models = tuple(Operand(ModelRef(path)) for path in experts)
        recipe = recipe or Recipe(Merge("task_arithmetic", models, base=ModelRef(base)))
        batch = pictures if name == "vit" else texts
        data = [TaskData(f"task {k}", (batch(k),), k) for k in range(2)] if data is None else data
        card = learner(method)
        said = card.defaults.but(**{"steps": 2, "batch": 2, "batches": 1, "rate": 0.05, "every": 1, **changes})
        return Job(recipe, card, data, said, tmp_path / out, **(more or {}))

    return make
