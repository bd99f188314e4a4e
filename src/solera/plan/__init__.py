"""The planner: recipe and headers to stages and tasks.

Calling the room plans a recipe: ``solera.plan("recipe.yaml")``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from solera.doors import make_callable

if TYPE_CHECKING:
    from solera.plan.tasks import Plan
    from solera.recipe import Recipe


def plan(recipe: Recipe | str | Path, *, memory: int | None = None, threads: int | None = None) -> Plan:
    """Plan a merge from headers and side files; tensor data is not read.

    Args:
        recipe: a `Recipe`, or the path of a recipe file (native or mergekit).
        memory: bytes that the run may hold above an idle process; default 512 MiB.
        threads: workers; default the cores of this machine.

    Raises:
        RecipeFaults: the text is wrong. CheckpointError, PlanError: the models are, or do not fit.
    """
    from solera.errors import BadParameter
    from solera.plan.build import make_plan
    from solera.recipe import Recipe, load

    for name, value in (("threads", threads), ("memory", memory)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise BadParameter(f"`{name}` is not usable.", got=repr(value), want="a whole number above 0")
    return make_plan(recipe if isinstance(recipe, Recipe) else load(recipe), memory=memory, threads=threads)


make_callable(__name__, plan)

__all__ = ["plan"]
