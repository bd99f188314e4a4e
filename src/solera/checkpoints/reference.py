"""Reading ``path@revision+adapter`` as a model reference."""

from __future__ import annotations

import os
from pathlib import Path

from solera.checkpoints.remote.address import is_address, split_address
from solera.types import LoraRef, ModelRef


def parse_ref(text: str | os.PathLike[str]) -> ModelRef:
    """Read ``path[@revision][+adapter[@revision]]...``; a text that is an existing path is taken as it stands.

    Addresses (``s3://bucket/model``) lose what they hold of secrets; ``hf://`` alone has revisions.

    Example:
        >>> ref = parse_ref("org/code@v2+org/lora")
        >>> ref.path, ref.revision, ref.loras[0].path
        ('org/code', 'v2', 'org/lora')
    """
    if isinstance(text, os.PathLike):  # an address would have lost a slash in it
        return ModelRef(os.fspath(text))
    first, *rest = _pieces(text)
    loras = tuple(LoraRef(*_revision(piece)) for piece in rest)
    return ModelRef(*_revision(first), loras)


def _pieces(text: str) -> list[str]:
    """Split at +, joining again what together is an existing path."""
    pieces = text.split("+")
    for count in range(len(pieces), 1, -1):
        joined = "+".join(pieces[:count])
        if _exists(joined):
            return [joined, *pieces[count:]]
    return pieces


def _revision(piece: str) -> tuple[str, str | None]:
    if is_address(piece):
        return split_address(piece)
    path, at, revision = piece.rpartition("@")
    return (path, revision) if at and path and not _exists(piece) else (piece, None)


def _exists(path: str) -> bool:
    return bool(path) and Path(path).expanduser().exists()
