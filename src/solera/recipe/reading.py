"""Reading the small things of a document: a wrong one becomes a fault at its place, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from solera.errors import RecipeError
from solera.recipe.findings import Findings, Place
from solera.recipe.settings import as_setting
from solera.recipe.text import Path
from solera.recipe.values import Operand, Setting

T = TypeVar("T")
Raw = Mapping[str, Any]


def attempt(find: Findings, path: Path, read: Callable[[], T], what: str = "") -> T | None:
    """The result of `read`; an error becomes a fault at `path`, and the place counts as refused."""
    try:
        return read()
    except RecipeError as error:
        fault = error.fault
        find.fault(path, what or fault.what, got=fault.got or None, want=fault.want, fix=fault.fix)
        find.spoil(path)
        return None


def settings_of(find: Findings, raw: Raw | None, place: Place) -> dict[str, Setting]:
    """Read parameters; a value of no usable form is reported and left out."""
    found = {}
    for name, value in (raw or {}).items():
        find.mark(place.into(name))
        what = f"`{name}` is not usable."
        setting = attempt(find, (*place.path, name), partial(as_setting, value), what)
        if setting is not None:
            found[name] = setting
    return found


def split_each(find: Findings, raw: Raw | None, place: Place) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Part shared parameters from `{each: [...]}`, which gives every model its own value."""
    shared, each = {}, {}
    for name, value in (raw or {}).items():
        if not (isinstance(value, dict) and set(value) == {"each"}):
            shared[name] = value
        elif isinstance(value["each"], list):
            each[name] = value["each"]
        else:
            find.fault((*place.path, name), f"`{name}` is not usable.", got=value["each"], want="a list: one per model")
    return shared, each


def with_each(
    find: Findings, operands: tuple[Operand, ...], each: Mapping[str, Sequence[Any]], place: Place
) -> tuple[Operand, ...]:
    """Hand every operand its value of the `each` lists; its own settings win. `place` is that of the operands."""
    for name, values in each.items():
        here = Place((*place.path[:-1], "parameters"))
        if len(values) != len(operands):
            what = f"`{name}` needs one value per model."
            find.fault((*here.path, name), what, got=len(values), want=str(len(operands)))
            continue
        own = [
            settings_of(find, {name: value}, Place(here.path, (*place.at, k, "parameters")))
            for k, value in enumerate(values)
        ]
        operands = tuple(replace(o, parameters={**mine, **o.parameters}) for o, mine in zip(operands, own, strict=True))
    return operands
