"""From a file tensor's name to its canonical name, rule and numbers.

Names differ by numbers mostly, so each template is read once and remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from solera.arch.blueprint import Blueprint, Rename, Rule
from solera.arch.trie import NUMBER, Node, fill, find, template

BUFFERS = frozenset({"inv_freq", "position_ids", "masked_bias", "num_batches_tracked", "token_type_ids"})
"""Last name segments of tensors that are tables, not weights; they are copied."""
_NOTHING = Rule()


class Spot(NamedTuple):
    """Where a name lies: canonical name, rule, layer and expert numbers, and the segments below the rule's module."""

    name: str
    rule: Rule
    layer: int | None = None
    expert: int | None = None
    rest: tuple[str, ...] = ()

    @property
    def covered(self) -> bool:
        """Whether a pattern says what this tensor is (not merely in which layer it lies)."""
        return not self.rule.role.endswith("other") or bool(self.rule.split)


@dataclass(frozen=True, slots=True)
class _Form:
    """A template that was read: canonical template, rule, which of the numbers are layer and expert, the rest.

    `text` is the template for the formatting operator, with `blanks` places for numbers.
    """

    name: str
    rule: Rule
    layer: int | None = None
    expert: int | None = None
    rest: tuple[str, ...] = ()
    text: str = ""
    blanks: int = 0


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads names by one blueprint."""

    renames: tuple[Rename, ...]
    tree: Node[Rule] = field(repr=False, compare=False)
    _files: dict[str, _Form] = field(default_factory=dict, repr=False, compare=False)
    _leaves: dict[str, _Form] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, name: str) -> Spot:
        """Read one file tensor name."""
        pattern, numbers = template(name)
        if pattern not in self._files:
            self._files[pattern] = self._form(self._renamed(pattern))
        return _spot(self._files[pattern], numbers)

    def canonical(self, name: str) -> Spot:
        """Read a name that is canonical already."""
        pattern, numbers = template(name)
        if pattern not in self._leaves:
            self._leaves[pattern] = self._form(pattern)
        return _spot(self._leaves[pattern], numbers)

    def _renamed(self, pattern: str) -> str:
        for rename in self.renames:
            pattern = rename(pattern)
        return pattern

    def _form(self, pattern: str) -> _Form:
        hit = find(self.tree, pattern)
        segments = pattern.split(".")
        text = ".".join("%s" if s == NUMBER else s.replace("%", "%%") for s in segments)
        blanks = segments.count(NUMBER)
        if hit is None:
            return _Form(pattern, _NOTHING, text=text, blanks=blanks)
        at = {key: segments[:place].count(NUMBER) for key, place in hit.captured}
        rest = tuple(segments[hit.depth :])
        return _Form(pattern, hit.value, at.get("layer"), at.get("expert"), rest, text, blanks)


def _spot(form: _Form, numbers: tuple[str, ...]) -> Spot:
    return Spot(
        form.text % numbers if form.blanks == len(numbers) else fill(form.name, numbers),
        form.rule,
        None if form.layer is None else int(numbers[form.layer]),
        None if form.expert is None else int(numbers[form.expert]),
        form.rest,
    )


def reader(plan: Blueprint) -> Reader:
    """The reader of a blueprint."""
    return Reader(plan.renames, plan.tree())


def renumber(read: Callable[[str], Spot], name: str, layer: int, stack: str) -> str:
    """`name` with its layer number replaced, everything else kept; the name itself if it is in no layer of `stack`.

    The layer's segment is found by trial: it is the one whose change changes the layer that is read and no more.
    """
    old = read(name)
    if old.layer is None or old.rule.stack != stack or old.layer == layer:
        return name
    segments = name.split(".")
    for at, segment in enumerate(segments):
        if segment == str(old.layer):
            changed = ".".join([*segments[:at], str(layer), *segments[at + 1 :]])
            new = read(changed)
            if (new.layer, new.rule, new.expert) == (layer, old.rule, old.expert):
                return changed
    return name
