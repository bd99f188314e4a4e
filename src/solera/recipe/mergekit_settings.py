"""Parameters of the mergekit dialect: which exist, how their values are read, which are silently without effect."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from solera.errors import nearest
from solera.recipe.findings import Findings, Place
from solera.recipe.reading import attempt
from solera.recipe.settings import as_setting
from solera.recipe.values import Setting
from solera.registry import Card

_IGNORED = {"int8_mask"}
"""Accepted by every method, changing nothing in the result."""
_IGNORED_BY = {"task_arithmetic": {"rescale"}}
_UNKNOWN_TO = {"karcher": {"weight"}}
"""Parameters of a card that the dialect's method does not have."""
SPELLINGS = {"nuslerp_row_wise": "row_wise", "nuslerp_flatten": "flatten"}
"""Names that cards may spell without the method's own name in front."""

PARAMETERS = {
    *("weight", "density", "gamma", "epsilon", "t", "scale"),
    *("lambda", "normalize", "rescale", "normalize_weights", "eps", "nuslerp_row_wise", "nuslerp_flatten"),
    *("max_iter", "tol", "filter_wise", "select_topk", "r", "alpha"),
}
"""Every parameter that the dialect itself knows."""

_WEIGHTED = ("linear", "nuslerp", "multislerp", "task_arithmetic", "ties", "dare_linear", "dare_ties")
_PRUNED = ("breadcrumbs", "breadcrumbs_ties", "della", "della_linear")
REQUIRED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((*_WEIGHTED, *_PRUNED), ("weight",)),
    **dict.fromkeys(("slerp", "nearswap"), ("t",)),
}
"""Parameters without a default in the dialect, by method."""

METHODS = {
    *REQUIRED,
    *("karcher", "model_stock", "sce", "arcee_fusion", "ram", "ramplus_tl", "passthrough"),
}
"""Every method that the dialect itself knows."""

_TRUE = {"1", "on", "t", "true", "y", "yes"}
_FALSE = {"0", "off", "f", "false", "n", "no"}


def dialect_settings(
    find: Findings, raw: Mapping[str, Any] | None, card: Card | None, place: Place, *, per_model: bool
) -> dict[str, Setting]:
    """Read parameters at one level; what the method does not know is left out with a warning.

    `per_model`: the level of one model, where parameters that are global to the method have no effect.
    """
    found = {}
    for name, value in (raw or {}).items():
        path = (*place.path, name)
        known = _known(find, name, card, place, per_model=per_model)
        if known is None:
            continue
        find.mark(Place(path, (*place.at, known)))
        what = f"`{name}` is not usable."
        setting = attempt(find, path, partial(as_setting, _read(value, card, known)), what)
        if setting is not None:
            found[known] = setting
    return found


def _known(find: Findings, name: str, card: Card | None, place: Place, *, per_model: bool) -> str | None:
    """The name on the method's card, None where the parameter has no effect."""
    if card is None:
        return name
    if name in _IGNORED or name in _IGNORED_BY.get(card.name, ()):
        return None
    known = name if card.parameter(name) else SPELLINGS.get(name, name)
    parameter = None if known in _UNKNOWN_TO.get(card.name, ()) else card.parameter(known)
    path = (*place.path, name)
    if parameter is None:
        names = [p.name for p in card.parameters if p.name not in _UNKNOWN_TO.get(card.name, ())]
        hint = nearest(name, names) if names else "it has no parameters"
        find.warn(path, f"{card.name} has no parameter `{name}`, it is ignored; {hint}")
        return None
    if per_model and not parameter.per_model:
        find.warn(path, f"`{name}` is one value for all models; under one model it is ignored")
        return None
    return known


def _read(raw: Any, card: Card | None, name: str) -> Any:
    """Bring plain data to the parameter's kind where the dialect does so: "0.5" and true are numbers."""
    if isinstance(raw, list):
        return [_read(item, card, name) for item in raw]
    if isinstance(raw, Mapping):
        return {
            key: _read(raw[key], card, name) if key == "value" else raw[key]
            for key in raw
            if key in ("filter", "value")
        }
    parameter = card.parameter(name) if card else None
    kind = parameter.kind if parameter else ""
    if kind == "bool":
        return _as_bool(raw)
    return _as_number(raw) if kind in ("float", "int") else raw


def _as_bool(raw: Any) -> Any:
    text = raw.lower() if isinstance(raw, str) else f"{raw:g}" if isinstance(raw, int | float) else ""
    return True if text in _TRUE else False if text in _FALSE else raw


def _as_number(raw: Any) -> Any:
    if isinstance(raw, str):
        try:
            return float(raw)
        except ValueError:
            return raw
    return float(raw) if isinstance(raw, bool) else raw
