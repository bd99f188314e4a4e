"""Several documents in one text: which is the result, and what the names of the others stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from solera.recipe.findings import Findings, Place
from solera.recipe.text import Node
from solera.recipe.values import Merge

MAX_MERGES = 1_000
"""Most merges in a recipe, counted once for every place where they are used."""
MAX_NESTING = 24
"""Deepest merge of merges."""


@dataclass(slots=True)
class Linker:
    """Turns names of documents into merges.

    `bodies` are the validated documents; `lower(body, place)` makes the merge of one (set once the dialect is known).
    """

    findings: Findings
    bodies: list[Any]
    names: Mapping[str, int]
    lower: Callable[[Any, Place], Merge] | None = None
    _open: list[int] = field(default_factory=list)
    _merges: int = 0
    _full: bool = False

    def named(self, text: str, place: Place) -> Merge | None:
        """The merge that a document's name stands for, None when no document has the name (or it cannot be used)."""
        number = self.names.get(text)
        if number is None or self.lower is None:
            return None
        if number in self._open:
            circle = " -> ".join(self._name(i) for i in [*self._open[self._open.index(number) :], number])
            self.findings.fault(place.path, "Documents use each other in a circle.", got=circle)
            return None
        self._open.append(number)
        try:
            return self.lower(self.bodies[number], Place((number,), place.at)) if self.enter(place) else None
        finally:
            self._open.pop()

    def enter(self, place: Place) -> bool:
        """Count one more nested merge; report and refuse when there are too many."""
        self._merges += 1
        nesting = sum(part in ("model", "base") for part in place.at)
        if self._merges <= MAX_MERGES and nesting <= MAX_NESTING:
            return True
        if self._full:
            return False
        self._full = True
        want = f"at most {MAX_MERGES} merges, nested at most {MAX_NESTING} deep"
        self.findings.fault(
            place.path[:1], "The recipe nests too many merges.", want=want, fix="write an earlier merge to disk"
        )
        return False

    def start(self, number: int) -> None:
        """Remember the document that is being lowered as the result."""
        self._open.append(number)

    def _name(self, number: int) -> str:
        return next((name for name, at in self.names.items() if at == number), "(unnamed)")


def names_of(findings: Findings, bodies: list[Any]) -> dict[str, int]:
    """Name -> document number; a name given twice is a fault."""
    names: dict[str, int] = {}
    for number, body in enumerate(bodies):
        if body.name and body.name in names:
            findings.fault((number, "name"), f"The name `{body.name}` is given twice.", fix="rename one document")
        elif body.name:
            names[body.name] = number
    return names


def result_of(findings: Findings, bodies: list[Any], names: Mapping[str, int]) -> int:
    """Number of the document that is the result: the unnamed one, else the last that no other uses."""
    unnamed = [number for number, body in enumerate(bodies) if not body.name]
    if len(unnamed) > 1:
        want = "one unnamed document: the result"
        findings.fault((unnamed[0],), "Several documents have no name.", want=want, fix="add `name:` to all but one")
    used = {names[text] for number, node in enumerate(findings.documents) for text in _texts(node, number, names)}
    free = [number for number in range(len(bodies)) if number not in used]
    result = unnamed[-1] if unnamed else (free or [len(bodies) - 1])[-1]
    for number in free:
        if number != result:
            findings.warn((number,), f"the document `{bodies[number].name}` is not used")
    return result


def _texts(node: Node, number: int, names: Mapping[str, int]) -> Iterator[str]:
    """Names of other documents that occur as values."""
    children = [child for _, child in (node.keys or {}).values()] + list(node.items or ())
    if isinstance(node.scalar, str) and names.get(node.scalar, number) != number:
        yield node.scalar
    for child in children:
        yield from _texts(child, number, names)
