"""What makes two recipes the same: the value without text, names and places."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from enum import Enum
from typing import Any

from solera.recipe.values import Merge, Operand, Recipe, Slice

_SILENT = {"text", "source", "warnings", "where", "name", "label"}
"""Fields of recipes, nodes and operands that do not change the result."""


def digest(recipe: Recipe | Merge) -> str:
    """SHA-256 of a recipe's or node's canonical JSON, in hexadecimal.

    Text, file name, warnings, names and labels do not count, nor does the order of mappings; nor do fields at their
    default, so that the digest outlives new optional fields.

    Example:
        >>> from solera.recipe import parse
        >>> one = parse("{method: linear, models: [a, b]}")
        >>> digest(one) == digest(parse("{models: [a, b], name: other, method: linear}"))
        True
    """
    return hashlib.sha256(canonical_json(recipe).encode()).hexdigest()


def canonical_json(recipe: Recipe | Merge) -> str:
    """The JSON that the digest is taken of: keys sorted, no spaces, numbers as float64 in shortest form."""
    return json.dumps(_plain(recipe), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return _object(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return float(value) if _is_number(value) else value


def _object(value: Any) -> dict[str, Any]:
    silent = _SILENT if isinstance(value, Recipe | Merge | Operand) else set()
    kept = [f for f in fields(value) if f.name not in silent and getattr(value, f.name) != _default(f)]
    return {"is": type(value).__name__, **{f.name: _plain(getattr(value, f.name)) for f in kept}}


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53)


def bare(recipe: Recipe) -> Recipe:
    """The recipe without text, source, warnings and places, so that equal recipes compare equal.

    Example:
        >>> from solera.recipe import parse
        >>> bare(parse("{method: linear, models: [a]}")) == bare(parse("{models: [a], method: linear}", source="x"))
        True
    """
    return replace(recipe, text="", source="", warnings=(), merge=_bare_merge(recipe.merge))


def _bare_merge(merge: Merge) -> Merge:
    return replace(
        merge,
        where="",
        base=_bare_model(merge.base),
        models=tuple(_bare_operand(o) for o in merge.models),
        slices=tuple(_bare_slice(s) for s in merge.slices),
        modules={name: _bare_merge(inner) for name, inner in merge.modules.items()},
    )


def _bare_slice(piece: Slice) -> Slice:
    base = None if piece.base is None else _bare_operand(piece.base)
    return replace(piece, sources=tuple(_bare_operand(o) for o in piece.sources), base=base)


def _bare_operand(operand: Operand) -> Operand:
    return replace(operand, model=_bare_model(operand.model))


def _bare_model(model: Any) -> Any:
    return _bare_merge(model) if isinstance(model, Merge) else model
