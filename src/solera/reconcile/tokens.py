"""Token ids in settings (eos_token_id, image_token_index, …) when the output's vocabulary numbers tokens otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solera.methods.vocab import Vocabulary

ID_KEYS = ("_token_id", "_token_ids", "_token_index")
"""How the names of settings end that hold token ids."""


def moved_token_ids(
    settings: Mapping[str, Any], before: Vocabulary, after: Vocabulary
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Settings whose token ids mean the same tokens in another vocabulary, nested sections included.

    An id that names no token, or whose token is not in the new vocabulary, is kept, and a note says so.

    Args:
        settings: config.json or generation_config.json of the model that `before` belongs to.
        before: the vocabulary in which the ids were written.
        after: the output's vocabulary.

    Example:
        >>> moved_token_ids({"eos_token_id": 0}, Vocabulary({"</s>": 0}), Vocabulary({"a": 0, "</s>": 1}))
        ({'eos_token_id': 1}, ())
    """
    if all(after.tokens.get(token) == number for token, number in before.tokens.items()):
        return dict(settings), ()
    names = {number: token for token, number in before.tokens.items()}
    notes: list[str] = []
    return _moved(settings, "", names, after, notes), tuple(notes)


def _moved(
    settings: Mapping[str, Any], prefix: str, names: Mapping[int, str], after: Vocabulary, notes: list[str]
) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in settings.items():
        path = prefix + key
        if isinstance(value, Mapping):
            out[key] = _moved(value, f"{path}.", names, after, notes)
        elif key.endswith(ID_KEYS):
            many = isinstance(value, list)
            moved = [_id(v, path, names, after, notes) for v in (value if many else [value])]
            out[key] = moved if many else moved[0]
        else:
            out[key] = value
    return out


def _id(value: Any, path: str, names: Mapping[int, str], after: Vocabulary, notes: list[str]) -> Any:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return value
    token = names.get(value)
    if token is not None and token in after.tokens:
        return after.tokens[token]
    notes.append(f"{path}: {value} ({token or 'no token'}) is not in the output's vocabulary; left as it was")
    return value
