"""Which optimizers there are."""

from __future__ import annotations

from solera.errors import BadParameter, nearest
from solera.search.optimizers.contract import Optimizer
from solera.search.space import Space

NAMES = ("cmaes", "tpe", "random", "nsga2")


def new(name: str, space: Space, *, seed: int = 0, population: int | None = None, objectives: int = 1) -> Optimizer:
    """An optimizer at its start.

    Args:
        name: ``cmaes`` (one objective), ``tpe``, ``random`` or ``nsga2``.
        space: what is searched.
        seed: of all draws.
        population: points asked for before anything is told; None is the optimizer's own size.
        objectives: how many numbers it is told of every point.

    Raises:
        BadParameter: no such optimizer, or it has one objective. MissingExtra: its library is not installed.
    """
    if population is not None and population < 1:
        raise BadParameter("`--population` is not usable.", got=population, want="1 or more")
    if name == "cmaes":
        from solera.search.optimizers.covariance import Covariance

        return Covariance(space, seed, population, objectives)
    if name == "nsga2":
        from solera.search.optimizers.sorting import Sorting

        return Sorting(space, seed, population, objectives)
    if name in ("tpe", "random"):
        from solera.search.optimizers.parzen import Study

        return Study(space, seed, population, objectives, name)
    raise BadParameter("There is no such optimizer.", got=name, want=", ".join(NAMES), fix=nearest(name, NAMES))
