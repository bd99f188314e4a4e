"""Architectures without a data file: stacks, roles and vocabulary axes inferred from names, shapes and config.

A stack is a prefix with consecutive numbers 0..n-1 below it whose members share a name. Nothing is instantiated.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from solera.arch.architecture import Architecture, architecture
from solera.arch.blueprint import Blueprint, Place, Rule, StackRule
from solera.arch.paths import walk, whole
from solera.arch.trie import NUMBER, template

_NAMES = ("encoder", "decoder", "vision", "text", "audio")
_NOT_LAYERS = re.compile(r"token_id|architectures|label|_ids?$")
_EXPERT = re.compile(r"(?<=experts\.)\d+(?=\.|$)")


@dataclass(frozen=True, slots=True)
class Guess:
    """A role and the pattern of the names that have it."""

    role: str
    find: re.Pattern[str]
    wide: bool


def inferred(config: Mapping[str, Any], names: tuple[str, ...], model_type: str = "") -> Architecture:
    """An architecture made from the names themselves; every name has a rule of its own."""
    counts = stack_counts(names)
    titles = _titles(tuple(counts))
    kinds = {template(_pattern(name, counts))[0].replace(NUMBER, "*"): name for name in names}
    rules = {pattern: _rule(name, counts, titles) for pattern, name in kinds.items()}
    stacks = tuple(_stack(prefix, n, titles[prefix], config) for prefix, n in counts.items())
    ties = _ties(names)
    plan = Blueprint(
        "inferred",
        (*_floors(titles), *rules.items()),
        stacks,
        ties=ties,
        tie_default=not any(head in names for head, _ in ties),
        vocab_keys=_vocab_keys(config),
    )
    return architecture("inferred", plan, model_type=model_type, known=False, notes=(_note(model_type, counts),))


def stack_counts(names: Iterable[str]) -> dict[str, int]:
    """Layer prefixes and how many layers each has, in order of appearance.

    Example:
        >>> stack_counts(["net.0.w", "net.1.w", "head.w"])
        {'net.': 2}
    """
    members: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name in names:
        for head, number, tail in _splits(name)[:1]:
            members[head][number].add(tail)
    return {head: len(found) for head, found in members.items() if _is_stack(found)}


def _splits(name: str) -> list[tuple[str, int, str]]:
    parts = name.split(".")
    return [
        ("".join(f"{p}." for p in parts[:i]), int(part), ".".join(parts[i + 1 :]))
        for i, part in enumerate(parts)
        if part.isdecimal() and i + 1 < len(parts)
    ]


def _is_stack(found: Mapping[int, set[str]]) -> bool:
    if len(found) < 2 or sorted(found) != list(range(len(found))):
        return False
    tails = [tail for tails in found.values() for tail in tails]
    return len(set(tails)) < len(tails)


def _titles(prefixes: tuple[str, ...]) -> dict[str, str]:
    if len(prefixes) == 1:
        return {prefixes[0]: ""}
    short = {p: next((n for n in _NAMES if n in p), p.rstrip(".")) for p in prefixes}
    repeated = len(set(short.values())) < len(short)
    return {p: p.rstrip(".") for p in prefixes} if repeated else short


def _pattern(name: str, counts: Mapping[str, int]) -> str:
    head = _prefix(name, counts)
    if head is not None:
        name = f"{head}{{layer}}.{name[len(head) :].split('.', 1)[1]}"
    return _EXPERT.sub("{expert}", name, count=1)


def _prefix(name: str, counts: Mapping[str, int]) -> str | None:
    first = _splits(name)[:1]
    return first[0][0] if first and first[0][0] in counts else None


def _rule(name: str, counts: Mapping[str, int], titles: Mapping[str, str]) -> Rule:
    head = _prefix(name, counts)
    stack = titles[head] if head is not None else ""
    guess = next((g for g in guesses() if g.find.search(name.lower())), None)
    role = guess.role if guess else "other"
    place: Place = _place(role) if head is None else "inside"
    axis = 0 if head is None and role in ("embedding", "head") else None
    kind = "buffer" if role == "buffer" else ""
    wide = guess is not None and guess.wide
    return Rule(role, kind, axis, wide, place=place, stack=stack, module=stack)


def _place(role: str) -> Place:
    if role.startswith("embedding"):
        return "before"
    return "after" if role in ("head", "norm", "pooler") else "none"


def _floors(titles: Mapping[str, str]) -> list[tuple[str, Rule]]:
    return [(f"{head}{{layer}}", Rule(place="inside", stack=title, module=title)) for head, title in titles.items()]


def _stack(prefix: str, count: int, title: str, config: Mapping[str, Any]) -> StackRule:
    found = dict(walk(config))
    keys = [
        path
        for want in _count_keys()
        for path, value in found.items()
        if path.split(".")[-1] == want and whole(value) == count
    ]
    lists = [path for path, value in found.items() if _per_layer(path, value, count)]
    return StackRule(title, f"{prefix}{{layer}}", tuple(_best(keys, title)), per_layer=tuple(lists))


def _best(keys: list[str], title: str) -> list[str]:
    return sorted(keys, key=lambda path: bool(title) and title not in path)[:1]


def _per_layer(path: str, value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count > 1 and not _NOT_LAYERS.search(path)


def _ties(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    single = [n for n in names if n.endswith(".weight") and not _splits(n)]
    embeddings = [n for n in single if _role(n) == "embedding"]
    heads = [n for n in single if _role(n) == "head"] or ["lm_head.weight"]
    return ((heads[0], embeddings[0]),) if len(embeddings) == len(heads) == 1 else ()


def _role(name: str) -> str:
    return next((g.role for g in guesses() if g.find.search(name.lower())), "other")


def _vocab_keys(config: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(path for path, _ in walk(config) if path.split(".")[-1] == "vocab_size") or ("vocab_size",)


def _note(model_type: str, counts: Mapping[str, int]) -> str:
    what = f"the architecture `{model_type}` has no data file" if model_type else "the model names no architecture"
    found = ", ".join(f"{n} layers under `{prefix}`" for prefix, n in counts.items()) or "no layers"
    return (
        f"{what}: tensors are merged by name and shape ({found}); roles are guessed, and fused experts or attention "
        "projections, names of other layouts and tied weights without a config flag are not recognised"
    )


@cache
def guesses() -> tuple[Guess, ...]:
    """The table of name patterns, in order."""
    return tuple(Guess(g["role"], re.compile(g["find"]), g.get("wide", False)) for g in _data()["guess"])


def _count_keys() -> list[str]:
    return list(_data()["counts"]["keys"])


@cache
def _data() -> Mapping[str, Any]:
    return tomllib.loads((resources.files("solera.arch") / "data" / "inference.toml").read_text("utf-8"))
