"""Name patterns, looked up segment by segment: a few dict steps per tensor name, whatever the number of patterns.

A pattern is a dotted module name in which a whole segment may be ``{layer}``, ``{expert}`` or ``*`` (any segment).
A name matches a pattern when the pattern is a prefix of it; the pattern with most segments wins, and a literal
segment is preferred to a wildcard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
_NUMBERS = ("{layer}", "{expert}")


@dataclass(slots=True)
class Node(Generic[T]):
    """One segment of the tree: what ends here, and what may follow."""

    value: T | None = None
    children: dict[str, Node[T]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit(Generic[T]):
    """A pattern that matched: its value, the numbers it captured, and the segments left over."""

    value: T
    depth: int
    numbers: tuple[tuple[str, int], ...]
    rest: tuple[str, ...]

    def number(self, key: str) -> int | None:
        """The captured ``layer`` or ``expert``, None if the pattern has none."""
        return dict(self.numbers).get(key)


def trie(patterns: Iterable[tuple[str, T]]) -> Node[T]:
    """Build the tree; of two equal patterns the later wins.

    Example:
        >>> tree = trie([("h.{layer}.attn", "attention"), ("h.{layer}", "other")])
        >>> hit = find(tree, "h.7.attn.weight")
        >>> hit.value, hit.number("layer"), hit.rest
        ('attention', 7, ('weight',))
    """
    root: Node[T] = Node()
    for pattern, value in patterns:
        node = root
        for segment in pattern.split("."):
            node = node.children.setdefault(segment, Node())
        node.value = value
    return root


def find(tree: Node[T], name: str) -> Hit[T] | None:
    """The longest pattern that is a prefix of `name`, or None."""
    return _walk(tree, tuple(name.split(".")), 0, ())


def _walk(node: Node[T], segments: tuple[str, ...], at: int, numbers: tuple[tuple[str, int], ...]) -> Hit[T] | None:
    best = None if node.value is None else Hit(node.value, at, numbers, segments[at:])
    if at == len(segments):
        return best
    for child, seen in _steps(node.children, segments[at]):
        hit = _walk(child, segments, at + 1, numbers + seen)
        if hit is not None and (best is None or hit.depth > best.depth):
            best = hit
    return best


def _steps(children: Mapping[str, Node[T]], segment: str) -> Iterable[tuple[Node[T], tuple[tuple[str, int], ...]]]:
    if segment in children:
        yield children[segment], ()
    if segment.isdecimal():
        for key in _NUMBERS:
            if key in children:
                yield children[key], ((key[1:-1], int(segment)),)
    if "*" in children:
        yield children["*"], ()
