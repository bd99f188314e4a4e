"""What is found while a text is read: faults, warnings, and which place of the text each value came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from solera.errors import Fault
from solera.recipe.text import Node, Path, place


@dataclass(slots=True)
class Findings:
    """Collects faults and warnings about one text; all are reported together.

    `spoiled` holds places whose value was refused: what follows from their absence is not reported again.
    `places` maps a place in the value (`("models", 0, "parameters", "weight")`) to the place in the text.
    """

    source: str = ""
    documents: Sequence[Node] = ()
    warnings: list[str] = field(default_factory=list)
    spoiled: set[Path] = field(default_factory=set)
    places: dict[Path, Path] = field(default_factory=dict)
    _faults: list[tuple[int, Fault]] = field(default_factory=list)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults in the order of the text, each once."""
        ordered = [fault for _, fault in sorted(self._faults, key=lambda pair: pair[0])]
        return tuple(dict.fromkeys(ordered))

    def line(self, path: Path) -> int:
        """Line of a place in the text, 0 where the text has none."""
        return self._root(path).walk(path[1:])[1]

    def where(self, path: Path) -> str:
        """A place of the text in words; without lines, the keys that lead there."""
        line = self.line(path)
        if line:
            return place(self.source, line)
        keys = ".".join(str(part) for part in path[1:])
        return ", ".join(part for part in (self.source, keys) if part)

    def real(self, path: Path) -> Path:
        """`path` without the parts that the text does not have."""
        return (*path[:1], *self._root(path).walk(path[1:])[0])

    def keys(self, path: Path) -> list[str]:
        """Keys of the document that `path` is in."""
        return list(self._root(path).keys or ())

    def fault(self, path: Path, what: str, *, got: Any = None, want: str = "", fix: str = "") -> None:
        """Record a fault at a place of the text."""
        shown = "" if got is None else show(got)
        self._faults.append((self.line(path), Fault(what, self.where(path), shown, want, fix)))

    def warn(self, path: Path, message: str) -> None:
        """Record a warning, once."""
        text = f"{self.where(path)}: {message}"
        if text not in self.warnings:
            self.warnings.append(text)

    def spoil(self, path: Path) -> None:
        """Remember that the value at `path` was refused."""
        self.spoiled.add(path)

    def is_spoiled(self, path: Path) -> bool:
        """Whether something at `path`, inside it, or around it was refused."""
        return any(path[: len(bad)] == bad or bad[: len(path)] == path for bad in self.spoiled)

    def is_spoiled_inside(self, path: Path, name: str) -> bool:
        """Whether a value called `name` was refused at `path` or inside it."""
        return any(name in bad[len(path) :] for bad in self.spoiled if bad[: len(path)] == path)

    def mark(self, place: Place) -> None:
        """Say where in the text a part of the value comes from."""
        self.places[place.at] = place.path

    def origin(self, value_path: Path) -> Path:
        """Place in the text of a part of the value: the nearest known around it, and the rest."""
        for cut in range(len(value_path), -1, -1):
            if value_path[:cut] in self.places:
                return (*self.places[value_path[:cut]], *value_path[cut:])
        return (0, *value_path)

    def _root(self, path: Path) -> Node:
        at = path[0] if path else 0
        known = isinstance(at, int) and at < len(self.documents)
        return self.documents[at] if known else Node(0)  # type: ignore[index]


def show(value: Any) -> str:
    """A value as the author would recognise it, cut to a line.

    Example:
        >>> show({"a": 1}), show("x" * 99)[-3:]
        ("{'a': 1}", '...')
    """
    text = value if isinstance(value, str) and value.strip() == value and value else repr(value)
    text = text.replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "..."


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: `path` in the text, `at` in the value.

    Example:
        >>> Place((0, "models", 1), ("models", 1)).value("parameters").into("weight")
        Place(path=(0, 'models', 1, 'weight'), at=('models', 1, 'parameters', 'weight'))
    """

    path: Path
    at: Path = ()

    def into(self, *parts: str | int) -> Place:
        """One or more steps in both."""
        return Place((*self.path, *parts), (*self.at, *parts))

    def text(self, *parts: str | int) -> Place:
        """Steps in the text only."""
        return Place((*self.path, *parts), self.at)

    def value(self, *parts: str | int) -> Place:
        """Steps in the value only."""
        return Place(self.path, (*self.at, *parts))
