"""Whether the files of a pack are what was written: their digests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from solera.checkpoints.identity import digest_file
from solera.errors import CorruptFile
from solera.types import Event

if TYPE_CHECKING:
    from solera.inference.routed.index import Pack

AGAIN = "make the pack again, or download it again"


def check_digests(pack: Pack) -> None:
    """Compare every file of tensors with its digest.

    Raises:
        CorruptFile: one differs.

    Cost: one read of the pack.
    """
    if found := damaged(pack):
        name, what = found[0], "A file of the pack is not what was written."
        raise CorruptFile(what, where=pack.folder / name, want=f"digest {pack.files[name].digest[:16]}", fix=AGAIN)


def damaged(pack: Pack, on_event: Callable[[Event], None] | None = None) -> list[str]:
    """Names of the files whose digest differs."""
    total, done, found = sum(row.bytes for row in pack.files.values()), 0, []
    for name, written in pack.files.items():
        if digest_file(pack.folder / name) != written.digest:
            found.append(name)
        done += written.bytes
        if on_event is not None:
            on_event(Event("progress", "verify", done=done, total=total))
    return found
