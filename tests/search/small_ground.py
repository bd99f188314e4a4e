"""A ground of one linear layer, and a problem that sets its weights: a whole search in milliseconds a candidate.

Run as a program it searches into a folder, slowly, so that it can be killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from solera.errors import BadParameter
from solera.evaluate.contract import Task
from solera.recipe.values import Merge, Operand, Recipe
from solera.search.running import Machine, Settings, search
from solera.search.space import Axis, Space
from solera.types import ModelRef

WANTED = (0.8, 0.2)
ITEMS = 32


@dataclass
class Ground:
    module: object
    config: dict
    tasks: dict


@dataclass(frozen=True)
class LinearSource:
    """Two tasks; an item of task k is right when the layer's k-th weight is near a number of the item."""

    items: int = ITEMS

    def open(self, scores):
        del scores
        module = torch.nn.Linear(2, 1, bias=False)
        splits = {"validation": 0, "test": 1}
        return Ground(
            module, {}, {split: tuple(self._task(split, k, seed) for k in range(2)) for split, seed in splits.items()}
        )

    def _task(self, split, k, seed):
        reach = torch.rand(self.items, generator=torch.Generator().manual_seed(10 * seed + k))

        def measure(module, places=slice(None)):
            gap = abs(float(module.weight[0, k]) - WANTED[k])
            return {"accuracy": (reach[places] > gap).double().tolist()}

        def part(places):
            return lambda module: measure(module, list(places))

        return Task(f"task-{k}", f"{split}-{k}-{self.items}", self.items, "accuracy", measure, split=split, part=part)


@dataclass(frozen=True)
class LinearProblem:
    """Genomes are the two weights. `slow`: seconds a candidate; `broken`: how candidates fail."""

    slow: float = 0.0
    broken: str = ""
    mark: str = ""
    axes: tuple[Axis, ...] = (Axis("left"), Axis("right"))
    digest: str = "linear"

    @property
    def space(self):
        return Space(self.axes)

    @property
    def indirect(self):
        return False

    @property
    def models(self):
        return ()

    @property
    def parents(self):
        return ()

    def recipe(self, genome):
        return Recipe(Merge("linear", (Operand(ModelRef("nowhere"), {"weight": float(genome[0])}),)))

    def module(self, genome, ground, threads):
        del threads
        time.sleep(self.slow)
        if self.broken == "refuse":
            raise BadParameter("There is something wrong.")
        if self.broken == "kill" or (self.broken == "kill once" and not Path(self.mark).exists()):
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        weight = float("nan") if self.broken == "nan" else 1.0
        with torch.no_grad():
            ground.module.weight.copy_(torch.tensor([[float(value) * weight for value in genome[:2]]]))
        return ground.module


if __name__ == "__main__":
    out, optimizer, workers = sys.argv[1:]
    search(
        LinearProblem(slow=0.05),
        LinearSource(),
        Path(out),
        Settings(optimizer, 60, seed=3),
        machine=Machine(int(workers)),
    )
