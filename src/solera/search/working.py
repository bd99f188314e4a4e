"""The work of one process: make the model of a genome in memory and score it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from solera.app.live import merge_live
from solera.app.swapping import load_into
from solera.errors import RunError, SoleraError
from solera.evaluate.contract import Split, Task, mean_and_error
from solera.recipe.values import Recipe
from solera.search.contract import WHOLE, Ground, Items, Job, Outcome, Setup, tasks_of
from solera.search.items import part_of


@dataclass(eq=False)
class Worker:
    """A process at work: the ground is opened once, and parts of tasks are cut once."""

    setup: Setup
    ground: Ground = field(init=False)
    _cut: dict[tuple[str, Split], tuple[Task, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Open the ground; methods of plugins are known from here on."""
        from solera.registry import load_plugin

        for file in self.setup.plugins:
            load_plugin(file)
        self.ground = self.setup.source.open(None)

    def run(self, job: Job, items: Items | None = None) -> Outcome:
        """Make, score; what cannot be made or scored is a failed outcome. `items`: what the job's set holds."""
        if items is not None and (job.items, job.split) not in self._cut:
            self._cut[job.items, job.split] = self._parts(items, job.split)
        with threads(self.setup.threads):
            began = time.perf_counter()
            try:
                module = self._made(job)
            except SoleraError as error:
                return Outcome({}, failed=" ".join(str(error).split())[:400])
            made = time.perf_counter()
            return self._scored(module, job, made - began)

    def _made(self, job: Job) -> Any:
        problem, count = self.setup.problem, self.setup.threads
        if job.parent is not None:
            return merged(self.ground, problem.parents[job.parent], count)
        if job.by_recipe:
            return remade(self.ground, problem.recipe(job.genome), count)
        return problem.module(job.genome, self.ground, count)

    def _scored(self, module: Any, job: Job, merge_s: float) -> Outcome:
        import torch

        began = time.perf_counter()
        scores, each, items = {}, {}, 0
        module.eval()
        with torch.no_grad():
            for task in self.tasks(job.items, job.split):
                numbers = _numbers(task, task.measure(module))
                scores[task.name] = mean_and_error(numbers)[0]
                items += len(numbers)
                if job.each:
                    each[task.name] = numbers
        return Outcome(scores, items, each, "", merge_s, time.perf_counter() - began)

    def tasks(self, items: str, split: Split) -> tuple[Task, ...]:
        """The tasks of a set of items that was given before, or of all items."""
        return tasks_of(self.ground, split, self.setup.groups) if items == WHOLE else self._cut[items, split]

    def _parts(self, items: Items, split: Split) -> tuple[Task, ...]:
        whole = tasks_of(self.ground, split, self.setup.groups)
        return tuple(part_of(task, items[task.name]) for task in whole if task.name in items)

    def facts(self) -> dict[Split, dict[str, tuple[str, int]]]:
        """Split -> task -> digest of its items, and how many there are."""
        splits: tuple[Split, ...] = ("validation", "test")
        return {split: {task.name: (task.data, task.items) for task in self.tasks(WHOLE, split)} for split in splits}


def merged(ground: Ground, recipe: Recipe, count: int) -> Any:
    """The ground's module with the weights that a recipe makes, by `count` threads; no file is written."""
    load_into(ground.module, merge_live(recipe, threads=count).tensors)
    return ground.module


def _numbers(task: Task, found: Any) -> tuple[float, ...]:
    numbers = found.get(task.metric, ())
    if len(numbers) != task.items:
        want = f"`{task.metric}` of {task.items} items"
        raise RunError("A task does not measure what it says.", where=task.name, got=sorted(found), want=want)
    return tuple(numbers) if task.higher else tuple(-number for number in numbers)


def remade(ground: Ground, recipe: Recipe, count: int) -> Any:
    """A module of the depth that a recipe gives, with the weights that it makes."""
    from solera.search.stacking import fitted

    live = merge_live(recipe, threads=count)
    layers = next(iter(live.plan.side.layers.values()), ground.module.config.num_hidden_layers)
    module = fitted(ground.module, layers)
    load_into(module, live.tensors)
    return module


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
