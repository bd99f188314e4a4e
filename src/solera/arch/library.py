"""The library of data files: read once, inheritance followed, found by model type or class name."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from solera.arch.blueprint import Blueprint, blueprint, under
from solera.arch.paths import lookup

Table = Mapping[str, Any]
_OWN = ("name", "model_types", "classes", "like")


@dataclass(frozen=True, slots=True)
class Found:
    """A blueprint that fits a config, and the names of the data files it was put together from."""

    plan: Blueprint
    parts: tuple[str, ...]


def find(config: Mapping[str, Any]) -> Found | None:
    """The architecture that a config.json names, by model type, else by class; None if it names none we know.

    Example:
        >>> find({"model_type": "llama"}).plan.name
        'llama'
        >>> find({"model_type": "no_such_model"}) is None
        True
    """
    name = _by_type().get(config.get("model_type") or "")
    classes = config.get("architectures") or ()
    name = name or next((_by_class()[c] for c in classes if isinstance(c, str) and c in _by_class()), None)
    return None if name is None else assemble(name, config)


def assemble(name: str, config: Mapping[str, Any]) -> Found:
    """Put a blueprint and its parts together; the parts' kinds are read from their nested configs."""
    table = tables()[name]
    found = Found(blueprint(table), (name,))
    for part in table.get("part", ()):
        found = _joined(found, part, config)
    own = replace(found.plan, tie_keys=blueprint(table).tie_keys) if "tie_key" in table else found.plan
    return replace(found, plan=own)


def _joined(whole: Found, part: Table, config: Mapping[str, Any]) -> Found:
    keys = _config_path(part, config)
    nested = lookup(config, keys) if keys else config
    inner = _part_of(part, nested if isinstance(nested, Mapping) else {})
    piece = under(inner.plan, part.get("prefix", ""), keys, stack=part["name"], role=part.get("role", ""))
    plan = replace(
        whole.plan,
        rules=piece.rules + whole.plan.rules,
        stacks=whole.plan.stacks + piece.stacks,
        renames=whole.plan.renames + piece.renames,
        ties=whole.plan.ties + piece.ties,
        always_tied=whole.plan.always_tied + piece.always_tied,
        **_vocabulary(part, piece),
    )
    return Found(plan, whole.parts + inner.parts)


def _vocabulary(part: Table, piece: Blueprint) -> dict[str, Any]:
    if part["name"] != "text":
        return {}
    return {"tie_keys": piece.tie_keys, "tie_default": piece.tie_default, "vocab_keys": piece.vocab_keys}


def _config_path(part: Table, config: Mapping[str, Any]) -> str:
    paths: list[str] = part["config"] if isinstance(part["config"], list) else [part["config"]]
    return next((path for path in paths if path and lookup(config, path) is not None), paths[-1])


def _part_of(part: Table, nested: Mapping[str, Any]) -> Found:
    fixed = part.get("always")
    if fixed:
        return assemble(fixed, nested)
    return find({"model_type": nested.get("model_type")}) or assemble(part["default"], nested)


@cache
def all_found() -> tuple[Found, ...]:
    """Every architecture with default parts, those with fewest patterns first."""
    order = [(len(assemble(name, {}).plan.rules), "like" in table, name) for name, table in tables().items()]
    return tuple(assemble(name, {}) for _, _, name in sorted(order))


@cache
def tables() -> Mapping[str, Table]:
    """Every data file, by its name, with `like` followed.

    Example:
        >>> "llama" in tables()
        True
    """
    raw = {table["name"]: table for table in map(_parse, _files()) if "name" in table}
    return {name: _resolved(name, raw) for name in sorted(raw)}


@cache
def _by_type() -> Mapping[str, str]:
    return {key: name for name, table in tables().items() for key in table.get("model_types", ())}


@cache
def _by_class() -> Mapping[str, str]:
    return {key: name for name, table in tables().items() for key in table.get("classes", ())}


def _files() -> Iterable[str]:
    folder = resources.files("solera.arch") / "data"
    return (entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _parse(text: str) -> Table:
    return tomllib.loads(text)


def _resolved(name: str, raw: Mapping[str, Table]) -> Table:
    table = raw[name]
    if "like" not in table:
        return table
    parent = {key: value for key, value in _resolved(table["like"], raw).items() if key not in _OWN}
    return _over(parent, table)


def _over(parent: Table, child: Table) -> dict[str, Any]:
    merged = {**parent}
    for key, value in child.items():
        merged[key] = _over_value(key, merged[key], value) if key in merged else value
    return merged


def _over_value(key: str, parent: Any, child: Any) -> Any:
    if isinstance(parent, Mapping) and isinstance(child, Mapping):
        return _over(parent, child)
    if key in ("stack", "part"):
        return _by_name(parent, child)
    return [*child, *parent] if key == "rename" else child


def _by_name(parents: list[Table], children: list[Table]) -> list[Table]:
    old = {entry.get("name", ""): entry for entry in parents}
    new = {entry.get("name", ""): entry for entry in children}
    return [_over(old.get(name, {}), new.get(name, {})) for name in {**old, **new}]
