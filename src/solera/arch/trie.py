"""Name patterns, looked up segment by segment: a few dict steps per tensor name, whatever the number of patterns.

A pattern is a dotted module name in which a whole segment may be ``{layer}``, ``{expert}`` or ``*`` (any segment).
Names are looked up as templates, in which every number is written ``#``; so patterns hold no numbers of their own.
A template matches a pattern when the pattern is a prefix of it; the pattern with most segments wins, and a literal
segment is preferred to a wildcard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
NUMBER = "#"
_CAPTURES = ("{layer}", "{expert}")
Captured = tuple[tuple[str, int], ...]
"""("layer" or "expert", position of its segment) pairs."""


@dataclass(slots=True)
class Node(Generic[T]):
    """One segment of the tree: what ends here, and what may follow."""

    value: T | None = None
    children: dict[str, Node[T]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit(Generic[T]):
    """A pattern that matched: its value, how many segments it took, and where the numbers it captured stand."""

    value: T
    depth: int
    captured: Captured


def template(name: str) -> tuple[str, tuple[str, ...]]:
    """A name with its numbers taken out.

    Example:
        >>> template("h.7.attn.weight")
        ('h.#.attn.weight', ('7',))
    """
    segments = name.split(".")
    numbers = tuple([s for s in segments if s.isdecimal()])
    return ".".join([NUMBER if s.isdecimal() else s for s in segments]) if numbers else name, numbers


def fill(pattern: str, numbers: Iterable[str]) -> str:
    """The name that a template stands for.

    Example:
        >>> fill("h.#.attn.weight", ["7"])
        'h.7.attn.weight'
    """
    left = iter(numbers)
    return ".".join(next(left, s) if s == NUMBER else s for s in pattern.split("."))


def trie(patterns: Iterable[tuple[str, T]]) -> Node[T]:
    """Build the tree; of two equal patterns the later wins.

    Example:
        >>> tree = trie([("h.{layer}.attn", "attention"), ("h.{layer}", "other")])
        >>> find(tree, "h.#.attn.weight")
        Hit(value='attention', depth=3, captured=(('layer', 1),))
    """
    root: Node[T] = Node()
    for pattern, value in patterns:
        node = root
        for segment in pattern.split("."):
            node = node.children.setdefault(segment, Node())
        node.value = value
    return root


def find(tree: Node[T], name: str) -> Hit[T] | None:
    """The longest pattern that is a prefix of the template `name`, or None."""
    return _walk(tree, tuple(name.split(".")), 0, ())


def _walk(node: Node[T], segments: tuple[str, ...], at: int, captured: Captured) -> Hit[T] | None:
    best = None if node.value is None else Hit(node.value, at, captured)
    if at == len(segments):
        return best
    for child, key in _steps(node.children, segments[at]):
        hit = _walk(child, segments, at + 1, (*captured, (key, at)) if key else captured)
        if hit is not None and (best is None or hit.depth > best.depth):
            best = hit
    return best


def _steps(children: Mapping[str, Node[T]], segment: str) -> Iterable[tuple[Node[T], str]]:
    if segment in children:
        yield children[segment], ""
    if segment == NUMBER:
        yield from ((children[key], key[1:-1]) for key in _CAPTURES if key in children)
    if "*" in children:
        yield children["*"], ""
