"""What the header of a weight file says, whatever the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from solera.checkpoints.contract import Source
from solera.checkpoints.reader import Stamp


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header: sources in file order, metadata, and what identifies the file.

    `digest` is the SHA-256 of the header's bytes (of the pickle, in a torch file).
    """

    path: str
    stamp: Stamp
    digest: str
    tensors: Mapping[str, Source]
    metadata: Mapping[str, str] = field(default_factory=dict)
