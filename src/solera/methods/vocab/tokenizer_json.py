"""Extend a parsed tokenizer.json so that every token of a vocabulary gets its planned id.

New plain tokens become, by the kind of the tokenizer: added tokens (BPE, as mergekit does), pieces that score ten below
the worst (unigram), or entries of the vocabulary (WordPiece, WordLevel). Ids that a loader would not give by itself
are written into the model's own vocabulary, where they are stated outright.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from solera.methods.vocab.read import tokenizer_parts
from solera.methods.vocab.values import Added, Vocabulary

PLAIN = Added(normalized=True)
"""Flags of a plain token that becomes an added one: it is looked for in normalised text."""


def extended(
    data: Mapping[str, Any], output: Vocabulary, *, merges: Iterable[list[str]] | None = None
) -> dict[str, Any]:
    """A tokenizer.json that has exactly the tokens of `output`, with their ids.

    Args:
        data: the base's tokenizer.json, parsed.
        output: the vocabulary to be written; it starts with the base's ids (see `union`).
        merges: other models' merges, best first. Where given, new plain tokens of a BPE tokenizer are entries of its
            vocabulary, reached through those merges that are valid there; None makes them added tokens.

    Example:
        >>> model = {"type": "WordPiece", "vocab": {"a": 0}}
        >>> extended({"model": model, "added_tokens": []}, Vocabulary({"a": 0, "##b": 1}))["model"]["vocab"]
        {'a': 0, '##b': 1}
    """
    kind, present = tokenizer_parts(data, "tokenizer.json")
    kept = {t: i for t, i in present.items() if t in output.tokens}
    added = dict(output.added)
    fresh = [t for t in output.tokens if t not in kept and t not in added]
    if kind == "bpe" and merges is None:
        added.update(dict.fromkeys(fresh, PLAIN))
        fresh = []
    entries = _entries(data, added, output.tokens)
    own = kept | {t: output.tokens[t] for t in fresh}
    if not _ids_follow(own, entries):
        own |= {e["content"]: e["id"] for e in entries}
    model = dict(data["model"])
    model["vocab"] = _pieces(model, own) if kind == "unigram" else own
    if kind == "bpe":
        model["merges"] = _merges(model.get("merges") or [], own, kept, merges or ())
    return {**data, "added_tokens": entries, "model": model}


def _entries(data: Mapping[str, Any], added: Mapping[str, Added], ids: Mapping[str, int]) -> list[dict[str, Any]]:
    """`added_tokens`: those of the file as they are, the others with their flags, by id."""
    before = {e["content"]: e for e in data.get("added_tokens") or []}
    entries = [{"id": 0, **(before.get(t) or flags.entry(t))} | {"id": ids[t]} for t, flags in added.items()]
    return sorted(entries, key=itemgetter("id"))


def _ids_follow(own: Mapping[str, int], entries: list[dict[str, Any]]) -> bool:
    """Whether a loader that numbers added tokens one after the other arrives at the planned ids."""
    following = len(own)
    if own and max(own.values()) >= following:
        return all(e["content"] in own for e in entries)
    for entry in entries:
        if entry["content"] in own:
            continue
        if entry["id"] != following:
            return False
        following += 1
    return True


def _pieces(model: Mapping[str, Any], own: Mapping[str, int]) -> list[list[Any]]:
    """Unigram pieces by position; new ones score ten below the worst, unused positions get a name of their own."""
    before = model["vocab"]
    scores = dict(before)
    low = min(scores.values(), default=0.0) - 10.0
    at = {i: piece for piece, i in own.items()}
    size = 1 + max(at, default=-1)
    return [[piece, scores.get(piece, low)] for piece in (at.get(i, f"<unused_row_{i}>") for i in range(size))]


def _merges(before: list[Any], own: Mapping[str, int], kept: Mapping[str, int], more: Iterable[list[str]]) -> list[Any]:
    """The merges whose parts and result exist: the file's own, then those of others that make new tokens."""
    pairs = [m.split(" ", 1) if isinstance(m, str) else list(m) for m in before]
    valid = [(m, p) for m, p in zip(before, pairs, strict=True) if _is_valid(p, own)]
    seen = {tuple(p) for _, p in valid}
    out = [m for m, _ in valid]
    as_text = bool(before) and isinstance(before[0], str)
    for pair in more:
        if tuple(pair) not in seen and _is_valid(pair, own) and "".join(pair) not in kept:
            seen.add(tuple(pair))
            out.append(" ".join(pair) if as_text else pair)
    return out


def _is_valid(pair: list[str], own: Mapping[str, int]) -> bool:
    return len(pair) == 2 and all(part in own for part in (*pair, "".join(pair)))
