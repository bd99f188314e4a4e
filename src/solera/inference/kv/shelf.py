"""Where the entries of one layer lie: tensors with free slots at the end, so that a token is added without a copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from solera.inference.kv.contract import Entries

NAMES = ("keys", "values", "places", "scores", "votes")


@dataclass(slots=True, eq=False)
class Shelf:
    """Entries in their first `filled` slots; what is behind is free.

    Attributes:
        parts: tensors by name, (rows, heads, slots, ...); those that no method asks for are not there.
        filled: slots in use, empty ones among them.
    """

    parts: dict[str, Tensor]
    filled: int = 0

    @classmethod
    def of(cls, entries: Entries, slots: int) -> Shelf:
        """Put entries on a new shelf of so many slots at least."""
        found = {name: part for name in NAMES if (part := getattr(entries, name)) is not None}
        filled = entries.keys.shape[2]
        return cls({name: _widened(part, max(slots, filled)) for name, part in found.items()}, filled)

    @property
    def entries(self) -> Entries:
        """What is in use."""
        return Entries(**{name: part[:, :, : self.filled] for name, part in self.parts.items()})

    @property
    def slots(self) -> int:
        """All of them, free ones included."""
        return self.parts["keys"].shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes that are truly held."""
        return sum(part.untyped_storage().nbytes() for part in self.parts.values())

    def append(self, new: Entries, slots: int) -> None:
        """Add entries; where there is no free slot, the shelf grows to `slots`, or by no more than is needed."""
        end = self.filled + new.keys.shape[2]
        if end > self.slots:
            self.parts = {
                name: _widened(part[:, :, : self.filled], max(end, slots)) for name, part in self.parts.items()
            }
        for name, part in self.parts.items():
            part[:, :, self.filled : end] = getattr(new, name)
        self.filled = end

    def last(self, count: int) -> None:
        """Let all go but the newest slots."""
        first = max(0, self.filled - count)
        self.parts = {name: part[:, :, first : self.filled].clone() for name, part in self.parts.items()}
        self.filled -= first

    def rows(self, choose: Callable[[Tensor], Tensor]) -> None:
        """Choose, repeat or reorder rows."""
        self.parts = {name: choose(part) for name, part in self.parts.items()}


def _widened(part: Tensor, slots: int) -> Tensor:
    if part.shape[2] == slots and part.is_contiguous():
        return part
    wide = torch.empty((*part.shape[:2], slots, *part.shape[3:]), dtype=part.dtype, device=part.device)
    wide[:, :, : part.shape[2]] = part
    return wide
