"""JSON of untrusted files: bounded, no duplicate keys, no NaN, always an error in house form."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solera.checkpoints.reader import cannot_read
from solera.errors import CorruptFile, UnsafeFile


def parse_object(data: bytes, *, where: str, what: str, strict: bool = True) -> dict[str, Any]:
    """Parse a JSON object; `strict` also refuses duplicate keys and NaN.

    Raises:
        CorruptFile: not UTF-8, not JSON, not an object. UnsafeFile: nested too deeply.

    Example:
        >>> parse_object(b'{"a": 1}', where="config.json", what="The config")
        {'a': 1}
    """
    try:
        value = json.loads(data.decode("utf-8"), **(_STRICT if strict else {}))
    except RecursionError:
        raise UnsafeFile(f"{what} is nested too deeply.", where=where, want="a few levels") from None
    except (ValueError, MemoryError) as error:
        raise CorruptFile(f"{what} is not readable JSON.", where=where, got=str(error)[:200]) from None
    if not isinstance(value, dict):
        raise CorruptFile(f"{what} is not a JSON object.", where=where, got=type(value).__name__, want="an object")
    return value


def read_object(path: Path, limit: int, *, what: str, strict: bool = False) -> dict[str, Any]:
    """Read a JSON file of at most `limit` bytes.

    Raises:
        UnsafeFile: larger than `limit`. CorruptFile: not a JSON object. NotFound: no such file.
    """
    return parse_object(read_limited(path, limit, what=what), where=str(path), what=what, strict=strict)


def read_limited(path: Path, limit: int, *, what: str) -> bytes:
    """Bytes of a file that must not be larger than `limit`."""
    try:
        with path.open("rb") as file:
            expected = min(os.fstat(file.fileno()).st_size, limit) + 1
            data = file.read(expected)
            if len(data) == expected:  # more than it said
                data += file.read(limit + 1 - expected)
    except OSError as error:
        raise cannot_read(str(path), error) from None
    if len(data) > limit:
        raise UnsafeFile(
            f"{what} is too large.", where=str(path), got=f"more than {limit} bytes", want=f"{limit} bytes at most"
        )
    return data


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} appears twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_STRICT: dict[str, Any] = {"object_pairs_hook": _unique, "parse_constant": _no_constant}
