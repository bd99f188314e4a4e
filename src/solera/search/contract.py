"""What a search is made of: a ground to stand on, a problem that turns genomes into models, jobs and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from solera.evaluate.contract import Split, Task
from solera.recipe.values import Recipe
from solera.search.space import Genome, Space
from solera.types import ModelRef

WHOLE = "whole"
"""Name of the set of all items."""

Items = Mapping[str, tuple[int, ...]]
"""Task -> places of the items that are scored; a task that is not named is left out."""


class Ground(Protocol):
    """A resident module and the tasks it is scored on, in one process. Only the weights of the module change."""

    @property
    def module(self) -> Any:
        """A `torch.nn.Module` with the weights of any candidate."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """Of the module, as read."""
        ...

    @property
    def tasks(self) -> Mapping[Split, tuple[Task, ...]]:
        """By split."""
        ...


class Source(Protocol):
    """What a ground is opened from: plain data, so that it can be handed to another process."""

    def open(self, scores: None) -> Ground:
        """Open it in this process."""
        ...


class Problem(Protocol):
    """Genomes and the models that they make. Plain data too."""

    @property
    def space(self) -> Space:
        """What is searched."""
        ...

    @property
    def digest(self) -> str:
        """Of everything, beside the space, that decides what a genome makes."""
        ...

    def recipe(self, genome: Genome) -> Recipe:
        """What `solera merge` makes the model by."""
        ...

    def module(self, genome: Genome, ground: Ground, threads: int) -> Any:
        """The model in memory, ready to be scored; no file is written."""
        ...

    @property
    def indirect(self) -> bool:
        """Whether `module` makes the model in another way than its recipe, so that the two are to be compared."""
        ...

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """Every model that candidates read."""
        ...

    @property
    def parents(self) -> tuple[Recipe, ...]:
        """Recipes that make the models that candidates are made of, one by one."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker is given once.

    Attributes:
        threads: of a worker. plugins: files that register methods.
        groups: tasks that take part.
    """

    source: Source
    problem: Problem
    threads: int = 1
    plugins: tuple[Path, ...] = ()
    groups: tuple[str, ...] = ("held-in",)


@dataclass(frozen=True, slots=True)
class Job:
    """One genome on one set of items. `each`: also the number of every item is wanted.

    `parent`: that one is scored instead. `by_recipe`: the model is made as `solera merge` makes it.
    """

    genome: Genome
    items: str = WHOLE
    split: Split = "validation"
    each: bool = False
    parent: int | None = None
    by_recipe: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job.

    Attributes:
        scores: task -> mean of its headline metric, more is better: of metrics of which less is better, the negative.
        items: how many were scored. each: task -> number of every item, where it was asked for.
        failed: why there are no scores, or "".
        merge_s, score_s: seconds for making the model, and for scoring it.
    """

    scores: Mapping[str, float]
    items: int = 0
    each: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    failed: str = ""
    merge_s: float = 0.0
    score_s: float = 0.0


def tasks_of(ground: Ground, split: Split, groups: Sequence[str] = ("held-in",)) -> tuple[Task, ...]:
    """The tasks of a split that searches go by."""
    return tuple(task for task in ground.tasks[split] if task.group in groups)
