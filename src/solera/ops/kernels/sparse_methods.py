"""Methods that thin task vectors out before they add them, as recipes of stages."""

from __future__ import annotations

from solera.ops.kernels.recipe import Recipe, Stage
from solera.ops.kernels.stages import (
    NOTHING,
    Shares,
    added,
    averaged,
    chained,
    drop,
    drop_by_rank,
    elect,
    keep_band,
    keep_row_band,
    restore_l1,
    spread,
    trim,
    weigh,
)
from solera.types import ELEMENT, ROWS, Grain


def dare_linear(
    models: int,
    *,
    weight: Shares = 1.0,
    density: Shares = 0.8,
    lambda_: float = 1.0,
    normalize: bool = False,
    rescale: bool = True,
    rescale_by: str = "inverse",
) -> Recipe:
    """Drop, rescale, add."""
    dropped = _thinned(density, models, rescale=rescale, by=rescale_by)
    return Recipe((dropped, NOTHING, NOTHING), added(spread(weight, models), normalize=normalize, factor=lambda_))


def dare_ties(
    models: int,
    *,
    weight: Shares = 1.0,
    density: Shares = 0.8,
    lambda_: float = 1.0,
    normalize: bool = True,
    rescale: bool = True,
    rescale_by: str = "inverse",
    top: Shares = 0.2,
    scope: str = "population",
    zero: str = "drop",
) -> Recipe:
    """Drop, rescale, trim, elect, merge."""
    weights = spread(weight, models)
    dropped = _thinned(density, models, rescale=rescale, by=rescale_by)
    stages = chained(dropped, trim(top, models, scope=scope), weigh(weights), elect(zero=zero))
    return Recipe(stages, averaged(weights, divide=normalize, factor=lambda_))


def della(
    models: int,
    *,
    weight: Shares = 1.0,
    density: Shares = 0.5,
    lambda_: float = 1.0,
    epsilon: Shares = 0.07,
    normalize: bool = True,
    rescale: bool = True,
    rescale_by: str = "inverse",
) -> Recipe:
    """Drop by rank, rescale, elect, merge."""
    weights = spread(weight, models)
    stages = chained(_sampled(density, epsilon, models, rescale=rescale, by=rescale_by), weigh(weights), elect())
    return Recipe(stages, averaged(weights, divide=normalize, factor=lambda_), grain=ROWS)


def della_linear(
    models: int,
    *,
    weight: Shares = 1.0,
    density: Shares = 0.5,
    lambda_: float = 1.0,
    epsilon: Shares = 0.07,
    normalize: bool = False,
    rescale: bool = True,
    rescale_by: str = "inverse",
) -> Recipe:
    """Drop by rank, rescale, add."""
    stages = (_sampled(density, epsilon, models, rescale=rescale, by=rescale_by), NOTHING)
    return Recipe(stages, added(spread(weight, models), normalize=normalize, factor=lambda_), grain=ROWS)


def breadcrumbs(
    models: int,
    *,
    weight: Shares = 1.0,
    density: Shares = 0.2,
    gamma: Shares = 0.1,
    lambda_: float = 1.0,
    normalize: bool = False,
    rescale: bool = False,
    per: str = "row",
) -> Recipe:
    """Mask outliers and small changes, add."""
    stages = chained(_banded(density, gamma, models, rescale=rescale, per=per), NOTHING)
    ending = added(spread(weight, models), normalize=normalize, factor=lambda_)
    return Recipe(stages, ending, grain=_grain(per))


def breadcrumbs_ties(
    models: int,
    *,
    weight: Shares = 1.0,
    density: Shares = 0.2,
    gamma: Shares = 0.1,
    lambda_: float = 1.0,
    normalize: bool = False,
    rescale: bool = False,
    per: str = "row",
) -> Recipe:
    """Mask outliers and small changes, elect, add."""
    weights = spread(weight, models)
    stages = chained(_banded(density, gamma, models, rescale=rescale, per=per), weigh(weights), elect())
    return Recipe(stages, averaged(weights, divide=normalize, factor=lambda_), grain=_grain(per))


def _sampled(density: Shares, epsilon: Shares, models: int, *, rescale: bool, by: str) -> Stage:
    if rescale and by == "l1":
        return restore_l1(drop_by_rank(density, epsilon, models, inverse=False), models)
    return drop_by_rank(density, epsilon, models, inverse=rescale)


def _thinned(density: Shares, models: int, *, rescale: bool, by: str) -> Stage:
    if rescale and by == "l1":
        return restore_l1(drop(density, models, inverse=False), models)
    return drop(density, models, inverse=rescale)


def _grain(per: str) -> Grain:
    return ROWS if per == "row" else ELEMENT


def _banded(density: Shares, gamma: Shares, models: int, *, rescale: bool, per: str) -> Stage | None:
    band = keep_row_band(density, gamma, models) if per == "row" else keep_band(density, gamma, models)
    return restore_l1(band, models) if rescale and band else band
