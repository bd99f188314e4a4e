"""YAML text to documents, safely: every value knows its line; tags, bombs and duplicate keys are refused.

Only ruamel.yaml's event parser is used. Values are built here, so that nothing in a text can name a Python object,
aliases are counted before they are expanded, and nesting is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NoReturn

from solera.errors import Fault, RecipeFaults

MAX_BYTES = 1_000_000
"""Largest text that is read."""
MAX_DEPTH = 64
"""Deepest nesting, with aliases expanded."""
MAX_VALUES = 200_000
"""Most values in a document, with aliases expanded."""

Path = tuple[str | int, ...]
"""A place in a text: document number, then keys and positions."""

_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + dot: float(sign + "inf") for sign in ("", "+", "-") for dot in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a text: a scalar, a list (`items`) or a mapping (`keys`: name -> line of the key, value).

    `text` is a scalar as written; `bare` tells that it had no quotes.
    """

    line: int
    scalar: Any = None
    text: str = ""
    bare: bool = False
    items: tuple[Node, ...] | None = None
    keys: dict[str, tuple[int, Node]] | None = None
    size: int = 1
    depth: int = 1

    def child(self, part: str | int) -> tuple[int, Node] | None:
        """Line and value at a key or position, None where there is none."""
        if self.keys is not None:
            return self.keys.get(str(part))
        if self.items is not None and isinstance(part, int) and 0 <= part < len(self.items):
            return self.items[part].line, self.items[part]
        return None

    def walk(self, path: Sequence[str | int]) -> tuple[Path, int]:
        """The parts of `path` that exist in this value, and the line they lead to; other parts are skipped."""
        node, line, found = self, self.line, []
        for part in path:
            if (step := node.child(part)) is not None:
                line, node = step
                found.append(part)
        return tuple(found), line


class Placed(dict[str, Any]):
    """A mapping that knows its place in the text."""

    path: Path = ()


def plain(node: Node, path: Path = ()) -> Any:
    """The value as plain data; mappings are `Placed`."""
    if node.keys is not None:
        placed = Placed({key: plain(child, (*path, key)) for key, (_, child) in node.keys.items()})
        placed.path = path
        return placed
    if node.items is not None:
        return [plain(child, (*path, i)) for i, child in enumerate(node.items)]
    return node.scalar


def scalar_of(text: str) -> Any:
    """Read an unquoted scalar as YAML 1.2 does: null, booleans, numbers, else text.

    Example:
        >>> [scalar_of(text) for text in ("1e-5", "true", "~", "0.5", "007", "yes")]
        [1e-05, True, None, 0.5, 7, 'yes']
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text) and len(text) < 400:
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def documents(text: str, source: str = "") -> tuple[Node, ...]:
    """Read all documents of a YAML text.

    Raises:
        RecipeFaults: not YAML, too large, too deep, tags, duplicate keys; each with its line.

    Example:
        >>> plain(documents("a: [1, x]")[0])
        {'a': [1, 'x']}
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        _refuse(
            source, 1, "The recipe is too long.", got=f"{len(text):,} characters", want=f"at most {MAX_BYTES:,} bytes"
        )
    builder = _Builder(source)
    for event in _events(text, source):
        builder.take(event)
    if builder.faults:
        raise RecipeFaults([fault for _, fault in sorted(builder.faults, key=itemgetter(0))], source=source)
    return tuple(builder.documents)


def place(source: str, line: int) -> str:
    """A place in words: "recipe.yaml line 14"."""
    name = source or "recipe"
    return f"{name} line {line}" if line else name


def _events(text: str, source: str) -> Iterator[Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        what = " ".join(str(part) for part in (error.context, error.problem) if part)
        fix = "indent with spaces, never with tabs" if "'\\t'" in what else "check indentation, colons and quotes"
        _refuse(source, line, "The text is not YAML.", got=what, want="a YAML mapping", fix=fix)
    except (YAMLError, ValueError) as error:
        _refuse(source, 1, "The text is not YAML.", got=str(error).splitlines()[0])


def _refuse(source: str, line: int, what: str, **parts: str) -> NoReturn:
    raise RecipeFaults([Fault(what, place(source, line), **parts)], source=source)


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is still open; in a mapping, keys and values alternate."""

    line: int
    mapping: bool
    anchor: str | None
    children: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class _Builder:
    """Builds nodes from events, without recursion."""

    source: str
    documents: list[Node] = field(default_factory=list)
    faults: list[tuple[int, Fault]] = field(default_factory=list)
    stack: list[_Frame] = field(default_factory=list)
    anchors: dict[str, Node | None] = field(default_factory=dict)

    def take(self, event: Any) -> None:
        """Handle one event of the parser."""
        kind = type(event).__name__
        line = event.start_mark.line + 1
        if getattr(event, "tag", None) is not None:
            self._fault(
                line, "A tag is not allowed in a recipe.", got=str(event.tag), fix="remove the tag; values are plain"
            )
        if kind == "DocumentStartEvent":
            self.anchors = {}
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._open(line, kind == "MappingStartEvent", event.anchor)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._close()
        elif kind == "ScalarEvent":
            self._add(_scalar_node(event, line), event.anchor)
        elif kind == "AliasEvent":
            self._add(self._alias(event.anchor, line), None)

    def _open(self, line: int, mapping: bool, anchor: str | None) -> None:
        if len(self.stack) >= MAX_DEPTH:
            self._too_deep(line)
        if anchor:
            self.anchors[anchor] = None
        self.stack.append(_Frame(line, mapping, anchor))

    def _close(self) -> None:
        frame = self.stack.pop()
        children = frame.children
        size = 1 + sum(child.size for child in children)
        depth = 1 + max((child.depth for child in children), default=0)
        if size > MAX_VALUES:
            _refuse(
                self.source,
                frame.line,
                "The YAML is too large.",
                got=f"{size:,} values",
                want=f"at most {MAX_VALUES:,}",
            )
        if depth > MAX_DEPTH:
            self._too_deep(frame.line)
        if frame.mapping:
            self._add(Node(frame.line, keys=self._mapping(children), size=size, depth=depth), frame.anchor)
        else:
            self._add(Node(frame.line, items=tuple(children), size=size, depth=depth), frame.anchor)

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self.anchors[anchor] = node
        if self.stack:
            self.stack[-1].children.append(node)
        else:
            self.documents.append(node)

    def _alias(self, anchor: str, line: int) -> Node:
        if anchor not in self.anchors:
            _refuse(self.source, line, f"There is no anchor `&{anchor}` before this line.", got=f"*{anchor}")
        node = self.anchors[anchor]
        if node is None:
            _refuse(self.source, line, "A value contains itself.", got=f"*{anchor}", fix="remove the alias")
        return node

    def _mapping(self, children: list[Node]) -> dict[str, tuple[int, Node]]:
        keys: dict[str, tuple[int, Node]] = {}
        merged: dict[str, tuple[int, Node]] = {}
        for key, value in zip(children[::2], children[1::2], strict=True):
            name = key.text
            if key.items is not None or key.keys is not None:
                self._fault(key.line, "A key must be a word.", got="a list or mapping", want="text")
            elif name == "<<" and key.bare:
                merged |= {k: v for k, v in self._merged(value).items() if k not in merged}
            elif name in keys:
                self._fault(
                    key.line, f"The key `{name}` is given twice.", got=f"first on line {keys[name][0]}", fix="keep one"
                )
            else:
                keys[name] = (key.line, value)
        return {**{k: v for k, v in merged.items() if k not in keys}, **keys}

    def _merged(self, value: Node) -> dict[str, tuple[int, Node]]:
        found: dict[str, tuple[int, Node]] = {}
        for node in value.items if value.items is not None else (value,):
            if node.keys is None:
                self._fault(
                    node.line, "`<<` takes a mapping, or a list of mappings.", fix="point it at an anchored mapping"
                )
            found = {**(node.keys or {}), **found}
        return found

    def _fault(self, line: int, what: str, **parts: str) -> None:
        self.faults.append((line, Fault(what, place(self.source, line), **parts)))

    def _too_deep(self, line: int) -> None:
        _refuse(self.source, line, "The YAML is nested too deeply.", want=f"at most {MAX_DEPTH} levels")


def _scalar_node(event: Any, line: int) -> Node:
    bare = event.style is None and event.implicit[0]
    return Node(line, scalar_of(event.value) if bare else event.value, event.value, bare)
