"""Output vocabularies: the union of several, one with tokens added, one cut to its embedding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from solera.methods.vocab.values import Added, Vocabulary


def union(vocabularies: Sequence[Vocabulary]) -> Vocabulary:
    """Join vocabularies; the first one is the base, and its ids stay as they are.

    Order: the base; then plain tokens in first-seen order (models as given, ids ascending); then added tokens in
    first-seen order. A token that any model adds counts as added. Flags of the first definition win; a later one that
    differs is noted.

    Raises:
        ValueError: no vocabularies.

    Example:
        >>> a, b = Vocabulary({"x": 0, "y": 1}), Vocabulary({"z": 0, "y": 1})
        >>> dict(union([a, b]).tokens)
        {'x': 0, 'y': 1, 'z': 2}
    """
    if not vocabularies:
        raise ValueError("no vocabularies to join")
    base = vocabularies[0]
    notes: list[str] = []
    added = _added(vocabularies, notes)
    tokens = dict(base.tokens)
    for vocabulary in vocabularies[1:]:
        _append(tokens, (t for t in _by_id(vocabulary.tokens) if t not in added))
    for vocabulary in vocabularies[1:]:
        _append(tokens, _by_id({t: vocabulary.tokens[t] for t in vocabulary.added}))
    notes += [
        f"{v.label}: its {v.kind} tokens are matched by name with {base.kind} tokens"
        for v in vocabularies[1:]
        if v.kind != base.kind
    ]
    joined = Vocabulary(tokens, base.kind, 0, added, "union", base.folder, tuple(notes))
    return replace(joined, rows=max(joined.size, base.rows))


def with_tokens(vocabulary: Vocabulary, tokens: Iterable[str]) -> Vocabulary:
    """Append the tokens that are not there yet, as added tokens that match exactly.

    Example:
        >>> with_tokens(Vocabulary({"a": 0}, rows=1), ["a", "<|x|>"]).tokens
        {'a': 0, '<|x|>': 1}
    """
    extended, added = dict(vocabulary.tokens), dict(vocabulary.added)
    for token in tokens:
        if token not in extended:
            _append(extended, [token])
            added[token] = Added()
    grown = replace(vocabulary, tokens=extended, added=added)
    return replace(grown, rows=max(vocabulary.rows, grown.size))


def trimmed(vocabulary: Vocabulary) -> Vocabulary:
    """Drop the tokens whose ids lie beyond the embedding; they never had a row.

    Example:
        >>> trimmed(Vocabulary({"a": 0, "[PAD]": 1}, rows=1)).tokens
        {'a': 0}
    """
    beyond = [t for t, i in vocabulary.tokens.items() if i >= vocabulary.rows]
    if not beyond:
        return vocabulary
    note = f"{vocabulary.label}: {len(beyond)} tokens without an embedding row were dropped ({_few(beyond)})"
    tokens = {t: i for t, i in vocabulary.tokens.items() if i < vocabulary.rows}
    added = {t: a for t, a in vocabulary.added.items() if t in tokens}
    return replace(vocabulary, tokens=tokens, added=added, notes=(*vocabulary.notes, note))


def _added(vocabularies: Sequence[Vocabulary], notes: list[str]) -> dict[str, Added]:
    joined: dict[str, Added] = {}
    first: dict[str, str] = {}
    for vocabulary in vocabularies:
        for token, flags in vocabulary.added.items():
            if joined.setdefault(token, flags) != flags:
                notes.append(f"{token!r}: {vocabulary.label} matches it differently from {first[token]}, which counts")
            first.setdefault(token, vocabulary.label)
    return joined


def _append(tokens: dict[str, int], new: Iterable[str]) -> None:
    last = max(tokens.values(), default=-1)
    for token in new:
        if token not in tokens:
            last += 1
            tokens[token] = last


def _by_id(tokens: Mapping[str, int]) -> list[str]:
    return sorted(tokens, key=tokens.__getitem__)


def _few(names: Sequence[str], count: int = 4) -> str:
    shown = ", ".join(repr(n) for n in names[:count])
    return shown if len(names) <= count else f"{shown}, …"
