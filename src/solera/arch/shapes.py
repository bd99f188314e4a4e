"""What shapes say about leaves that no data file describes: vocabulary axis, norms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from solera.arch.paths import first_present, lookup, whole
from solera.arch.values import Leaf


def by_shape(leaf: Leaf, config: Mapping[str, Any], vocab_keys: tuple[str, ...]) -> Leaf:
    """Correct a guessed leaf by its shape: the vocabulary axis must hold the vocabulary; a lone vector is a norm."""
    key = first_present(config, vocab_keys)
    vocab = whole(lookup(config, key)) if key else None
    role = "norm" if leaf.role == "other" and len(leaf.shape) == 1 and leaf.name.endswith(".weight") else leaf.role
    return replace(leaf, role=role, vocab_axis=_vocab_axis(leaf, vocab))


def _vocab_axis(leaf: Leaf, vocab: int | None) -> int | None:
    if leaf.layer is not None or leaf.kind == "buffer" or not leaf.shape or vocab is None:
        return None
    if leaf.vocab_axis is not None:
        return 0 if leaf.shape[0] >= vocab else _axis_of(leaf.shape, vocab)
    return _axis_of(leaf.shape, vocab) if leaf.role in ("head", "embedding", "other") else None


def _axis_of(shape: tuple[int, ...], vocab: int) -> int | None:
    return shape.index(vocab) if vocab in shape and len(shape) <= 2 else None
