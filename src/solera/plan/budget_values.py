"""What a budget comes to, as values: which blocks are read, what stands in for the rest, and what that leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ranks = Callable[[int, int, int], tuple[int, ...]]
"""(model, elements, elements that are not zero) -> wanted positions in ascending order, 0 being the smallest."""

Found = tuple[tuple[float, ...], ...]
"""Magnitudes at the wanted ranks, model by model: what `ops.order.OrderStatistics` finishes with."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """A leaf in a model's file: which of its blocks are read; the others are the base's bytes.

    `begin`, `base_begin`: first byte. `checks`: digests of the model's blocks as they were sketched, 0 for none.
    """

    path: str
    begin: int
    nbytes: int
    base_path: str
    base_begin: int
    block_bytes: int
    chosen: NDArray[np.bool_]
    checks: NDArray[np.uint64]

    @property
    def key(self) -> tuple[str, int]:
        """What tells stretches apart."""
        return self.path, self.begin

    @property
    def chosen_bytes(self) -> int:
        """Bytes that one reading takes."""
        short = self.nbytes - (self.chosen.size - 1) * self.block_bytes
        last = bool(self.chosen.size and self.chosen[-1])
        return int(self.chosen.sum()) * self.block_bytes - (self.block_bytes - short if last else 0)


@dataclass(frozen=True, slots=True)
class Mass:
    """Squared length of a model's difference to the base, and the part of it that is not read."""

    total: float
    left_out: float

    @property
    def share(self) -> float:
        """Part that is left out.

        Example:
            >>> Mass(4.0, 1.0).share, Mass(0.0, 0.0).share
            (0.25, 0.0)
        """
        return self.left_out / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class BudgetPlan:
    """A budget, spent.

    Attributes:
        limit: bytes that may be read of the models other than the base; None: no limit, a plain merge.
        total: bytes of one reading of them. planned: bytes that will be read; forced: of these, what must be read
            whatever the budget is (tensors without a counterpart in the base, adapters).
        base_bytes: of the base, beside the budget.
        blocks, blocks_read: of all models. mass: by model.
        bound: no more than this is the Frobenius distance to the merge that reads everything, before rounding; only
            where every tensor is a sum of task vectors with fixed coefficients.
        thresholds: "", "exact", or how near they are; they come from the sketches.
        stretches: leaves of which blocks are chosen. populations, tensors: what the sketches know already.
        bases: files of the base. sketches: where those of each model were found. notes: for the report.
    """

    limit: int | None
    total: int
    planned: int
    forced: int = 0
    base_bytes: int = 0
    blocks: int = 0
    blocks_read: int = 0
    mass: Mapping[str, Mass] = field(default_factory=dict)
    bound: float | None = None
    thresholds: str = ""
    stretches: tuple[Stretch, ...] = field(default=(), repr=False)
    populations: Mapping[Any, Found] = field(default_factory=dict, repr=False)
    tensors: Mapping[tuple[str, str, int], Found] = field(default_factory=dict, repr=False)
    bases: frozenset[str] = frozenset()
    sketches: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether everything is read as without a budget."""
        return not self.bases

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the blocks themselves."""
        return {
            "limit": self.limit,
            "total": self.total,
            "planned": self.planned,
            "saved": self.total - self.planned,
            "forced": self.forced,
            "base_bytes": self.base_bytes,
            "blocks": self.blocks,
            "blocks_read": self.blocks_read,
            "blocks_left_out": self.blocks - self.blocks_read,
            "mass": {
                name: {"total": m.total, "left_out": m.left_out, "share": m.share} for name, m in self.mass.items()
            },
            "bound": self.bound,
            "thresholds": self.thresholds,
            "sketches": dict(self.sketches),
            "notes": list(self.notes),
        }
