"""From a file tensor's name to its canonical name, rule and numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from solera.arch.blueprint import Blueprint, Rename, Rule
from solera.arch.trie import Node, find

BUFFERS = frozenset({"inv_freq", "position_ids", "masked_bias", "num_batches_tracked", "token_type_ids"})
"""Last name segments of tensors that are tables, not weights; they are copied."""
_NOTHING = Rule()


@dataclass(frozen=True, slots=True)
class Spot:
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
class Reader:
    """Reads names by one blueprint."""

    renames: tuple[Rename, ...]
    tree: Node[Rule] = field(repr=False, compare=False)

    def __call__(self, name: str) -> Spot:
        """Read one file tensor name."""
        return self.canonical(self.rename(name))

    def rename(self, name: str) -> str:
        """The canonical name of a file tensor."""
        for rename in self.renames:
            name = rename(name)
        return name

    def canonical(self, name: str) -> Spot:
        """Read a name that is canonical already."""
        hit = find(self.tree, name)
        if hit is None:
            return Spot(name, _NOTHING)
        return Spot(name, hit.value, hit.number("layer"), hit.number("expert"), hit.rest)


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
