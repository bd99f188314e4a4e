"""Model references in text: `path[@revision][+lora[@revision]]...`."""

from __future__ import annotations

import os
from collections.abc import Callable

from solera.checkpoints.remote.address import is_address, split_address
from solera.errors import BadParameter
from solera.types import LoraRef, ModelRef

_FIX = "where a name holds + or @, write {path: ..., revision: ..., lora: ...}"


def parse_model(text: str, exists: Callable[[str], bool] = os.path.exists) -> ModelRef:
    """Read the short form of a model reference.

    A local path that exists wins as a whole, so that folders named with + or @ work.

    Raises:
        BadParameter: an empty part, or two revisions in one part.

    Example:
        >>> parse_model("org/code@v2+org/lora", exists=lambda path: False)
        ModelRef(path='org/code', revision='v2', loras=(LoraRef(path='org/lora', revision=None, weight=1.0),), \
subfolder=None)
    """
    if exists(text) and text:
        return ModelRef(text)
    model, *loras = (_part(piece, text, exists) for piece in text.split("+"))
    return ModelRef(*model, tuple(LoraRef(*lora) for lora in loras))


def parse_lora(text: str, exists: Callable[[str], bool] = os.path.exists) -> LoraRef:
    """Read the short form of an adapter, `path[@revision]`; a local path that exists wins as a whole."""
    return LoraRef(*_part(text, text, exists))


def _part(piece: str, whole: str, exists: Callable[[str], bool]) -> tuple[str, str | None]:
    if piece and exists(piece):
        return piece, None
    if is_address(piece):
        return split_address(piece)
    path, *revisions = piece.split("@")
    if not path.strip() or len(revisions) > 1 or revisions == [""]:
        raise BadParameter("The model is not readable.", got=whole, want="path[@revision][+lora[@revision]]", fix=_FIX)
    return path, revisions[0] if revisions else None
