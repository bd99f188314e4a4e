"""Reads a Google-style docstring: summary, body, "Args:" lines, "Differs:" lines."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_SECTION = re.compile(r"^(Args|Returns|Yields|Raises|Example|Examples|Shape|Cost|Source|Sources|Note|Differs):\s*(.*)$")
_ARGUMENT = re.compile(r"^\s*\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.*)$")


@dataclass(frozen=True, slots=True)
class Doc:
    """A docstring in parts: `body` is the text between summary and sections, `args` by name."""

    summary: str = ""
    body: str = ""
    args: dict[str, str] = field(default_factory=dict)
    differs: tuple[str, ...] = ()


def read_docstring(text: str | None) -> Doc:
    """Split a docstring.

    Example:
        >>> doc = read_docstring('''Average.
        ...
        ... mean_k x_k
        ...
        ... Args:
        ...     weight: a coefficient
        ...         per model.
        ... Differs: from the paper in the sign of zero.
        ... ''')
        >>> doc.summary, doc.body, doc.args, doc.differs
        ('Average.', 'mean_k x_k', {'weight': 'a coefficient per model.'}, ('from the paper in the sign of zero.',))
    """
    summary, _, rest = inspect.cleandoc(text or "").partition("\n")
    body: list[str] = []
    args: dict[str, str] = {}
    differs: list[str] = []
    for name, lines in _sections(rest.splitlines()):
        if name == "":
            body.extend(lines)
        elif name == "Args":
            args.update(_arguments(lines))
        elif name == "Differs":
            differs.extend(_items(lines))
    return Doc(summary.strip(), "\n".join(body).strip(), args, tuple(differs))


def _sections(lines: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Cut into (section name, its lines); text after "Name:" on the same line is the first of them."""
    cut: list[tuple[str, list[str]]] = [("", [])]
    for line in lines:
        head = _SECTION.match(line)
        if head:
            cut.append((head[1], [head[2]] if head[2] else []))
        elif line.strip() and not line.startswith(" ") and cut[-1][0]:
            cut.append(("", ["", line]))  # prose after a section belongs to the body again
        else:
            cut[-1][1].append(line)
    return cut


def _arguments(lines: Iterable[str]) -> dict[str, str]:
    entries: dict[str, str] = {}
    last, level = "", 0
    for line in lines:
        indent = len(line) - len(line.lstrip())
        head = _ARGUMENT.match(line)
        if head and (not last or indent <= level):
            last, level = head[1], indent
            entries[last] = head[2].strip()
        elif last and line.strip():
            entries[last] = f"{entries[last]} {line.strip()}".strip()
    return entries


def _items(lines: Iterable[str]) -> list[str]:
    """One item per line; indented lines, and lines after one that ends no sentence, continue it."""
    kept = [line for line in lines if line.strip()]
    level = min((len(line) - len(line.lstrip()) for line in kept), default=0)
    items: list[str] = []
    for line in kept:
        text, deeper = line.strip(), len(line) - len(line.lstrip()) > level
        if items and not text.startswith("- ") and (deeper or not items[-1].endswith(".")):
            items[-1] = f"{items[-1]} {text}"
        else:
            items.append(text.removeprefix("- "))
    return items
