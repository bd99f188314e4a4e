"""Licences of the parents: read from their cards, and what the child's may say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_CARD_BYTES = 2_000_000

_RANKS: tuple[tuple[str, ...], ...] = (
    ("unlicense", "cc0-1.0", "wtfpl", "0bsd"),
    ("mit", "isc", "bsd-2-clause", "bsd-3-clause", "zlib", "cdla-permissive-2.0"),
    ("apache-2.0",),
)
"""Permissive licences, the strictest last: anything else that stands beside them is stricter."""
_ATTRIBUTION = ("cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0")
"""Each asks for all that the one before asks for."""


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence as a model card states it; `name` and `link` go with the id ``other``."""

    id: str
    name: str | None = None
    link: str | None = None


def read_front_matter(folder: Path | None) -> dict[str, Any]:
    r"""The YAML front matter of a folder's README.md, {} if there is none that can be read.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "README.md").write_text("---\nlicense: mit\n---\n# Model")
        >>> read_front_matter(folder)
        {'license': 'mit'}
    """
    path = None if folder is None else folder / "README.md"
    if path is None or not path.is_file():
        return {}
    with path.open("rb") as file:
        text = file.read(_CARD_BYTES).decode("utf-8", "replace")
    found = _FRONT.match(text)
    return {} if found is None or "&" in found[1] else _load(found[1])


def licence_of(front_matter: Mapping[str, Any]) -> Licence | None:
    """The licence that a card states, None if it states none or several.

    Example:
        >>> licence_of({"license": "Apache-2.0"})
        Licence(id='apache-2.0', name=None, link=None)
    """
    value = front_matter.get("license")
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(value, str) or value.lower() == "unknown":
        return None
    extra = (front_matter.get(key) for key in ("license_name", "license_link"))
    return Licence(value.lower(), *(v if isinstance(v, str) else None for v in extra))


def strictest(parents: Mapping[str, Licence | None]) -> tuple[Licence | None, str]:
    """The licence that the merge may state, and a note: why it was left out, or how it was chosen.

    Equal licences give that licence; permissive ones give way to a single stricter one. Nothing is decided where a
    parent states none, or where two restrictive licences meet: that is for a person.

    Example:
        >>> strictest({"a": Licence("mit"), "b": Licence("llama3.1")})[0].id
        'llama3.1'
    """
    unknown = [name for name, licence in parents.items() if licence is None]
    stated = [licence for licence in parents.values() if licence is not None]
    if unknown or not stated:
        return None, f"licence left out of the card: not stated by {', '.join(unknown) or 'any parent'}"
    if len(set(stated)) == 1:
        return stated[0], ""
    if any("-nd" in licence.id for licence in stated):
        return None, "licence left out of the card: a parent's licence (no derivatives) may not allow a merge at all"
    return _of_different(parents, stated)


def _of_different(parents: Mapping[str, Licence | None], stated: Sequence[Licence]) -> tuple[Licence | None, str]:
    said = ", ".join(f"{name}: {licence.id}" for name, licence in parents.items() if licence)
    strict = list(dict.fromkeys(licence for licence in stated if _rank(licence) is None))
    if not strict:
        return max(stated, key=lambda licence: _rank(licence) or 0), f"licence chosen among {said}"
    if all(licence.id in _ATTRIBUTION for licence in strict):
        return max(strict, key=lambda licence: _ATTRIBUTION.index(licence.id)), f"licence chosen among {said}"
    if len(strict) == 1:
        return strict[0], f"licence chosen among {said}"
    return None, f"licence left out of the card: the parents' differ ({said}); decide and add it to the card"


def _rank(licence: Licence) -> int | None:
    return next((i for i, ids in enumerate(_RANKS) if licence.id in ids), None)


def _load(text: str) -> dict[str, Any]:
    from ruamel.yaml import YAML, YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(StringIO(text))
    except (YAMLError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
