"""Dotted paths into nested JSON settings, without changing what was given."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any


def get(settings: Mapping[str, Any], path: str) -> Any:
    """Value at a dotted path, None where there is none.

    Example:
        >>> get({"text_config": {"vocab_size": 8}}, "text_config.vocab_size")
        8
    """
    value: Any = settings
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def put(settings: dict[str, Any], path: str, value: Any) -> None:
    """Set (None: remove) the value at a dotted path, in place; missing levels are made.

    Example:
        >>> config = {"a": 1}
        >>> put(config, "b.c", 2)
        >>> put(config, "a", None)
        >>> config
        {'b': {'c': 2}}
    """
    *parents, key = path.split(".")
    for parent in parents:
        if not isinstance(settings.get(parent), dict):
            if value is None:
                return
            settings[parent] = {}
        settings = settings[parent]
    if value is None:
        settings.pop(key, None)
    else:
        settings[key] = value


def sections(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The settings themselves (path "") and every nested ``…_config`` section, with its path.

    Example:
        >>> [path for path, _ in sections({"text_config": {"a": 1}, "rope_parameters": {}})]
        ['', 'text_config']
    """
    yield prefix, settings
    for key, value in settings.items():
        if key.endswith("_config") and isinstance(value, Mapping):
            yield from sections(value, f"{prefix}.{key}" if prefix else key)


def join(prefix: str, key: str) -> str:
    """A path from a section's path and a key."""
    return f"{prefix}.{key}" if prefix else key


def copied(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy that may be changed."""
    return copy.deepcopy(dict(settings))
