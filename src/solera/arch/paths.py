"""Dotted paths into config.json: ``text_config.num_hidden_layers``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def lookup(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, None where there is none.

    Example:
        >>> lookup({"text_config": {"vocab_size": 7}}, "text_config.vocab_size")
        7
    """
    value: Any = config
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def first_present(config: Mapping[str, Any], paths: Iterable[str]) -> str | None:
    """The first path that holds a value other than null."""
    return next((path for path in paths if lookup(config, path) is not None), None)


def whole(value: Any) -> int | None:
    """The value as a count, None if it is not a positive whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def walk(config: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    """Every (dotted path, value) that is not itself a mapping."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from walk(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value
