"""Plain data to YAML text; short mappings and number lists on one line."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLAIN = re.compile(r"[A-Za-z0-9_./-]([A-Za-z0-9_./@+ -]*[A-Za-z0-9_./-])?\Z")
FLOW_WIDTH = 72
"""Mappings of plain values up to this length are written on one line."""


def emit(documents: Sequence[Mapping[str, Any]]) -> str:
    """Write documents that `solera.recipe.text.documents` reads back to the same values.

    Example:
        >>> print(emit([{"method": "ties", "parameters": {"density": [0.2, 0.5]}}]), end="")
        method: ties
        parameters: {density: [0.2, 0.5]}
    """
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt", pure=True)
    yaml.width = 2**16
    yaml.allow_unicode = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    buffer = io.StringIO()
    yaml.dump_all([_styled(document, top=True) for document in documents], buffer)
    return buffer.getvalue()


def _styled(data: Any, *, top: bool = False) -> Any:
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(data, Mapping):
        styled: Any = CommentedMap({_quoted(key): _styled(value) for key, value in data.items()})
    elif isinstance(data, list | tuple):
        styled = CommentedSeq([_styled(value) for value in data])
    else:
        return _quoted(data)
    words = not isinstance(data, Mapping) and any(isinstance(item, str) for item in data)
    if not top and not words and len(repr(data)) <= FLOW_WIDTH and _is_flat(data, depth=2):
        styled.fa.set_flow_style()
    return styled


def _quoted(data: Any) -> Any:
    """Text in double quotes, unless it is so plain that it needs none wherever it stands."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    return DoubleQuotedScalarString(data) if isinstance(data, str) and not _PLAIN.match(data) else data


def _is_flat(data: Any, depth: int) -> bool:
    """Whether mappings are nested at most `depth` levels, lists hold plain values, and texts are printable."""
    if isinstance(data, Mapping):
        return depth > 0 and all(_is_flat(item, depth - 1) for item in (*data, *data.values()))
    if isinstance(data, list | tuple):
        return all(_is_flat(item, 0) for item in data) and not any(isinstance(item, list | tuple) for item in data)
    return not isinstance(data, str) or data.isprintable()
