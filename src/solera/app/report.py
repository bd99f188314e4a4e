"""What a merge did, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from solera.plan.mapping import MapCount


@dataclass(frozen=True, slots=True)
class MergeReport:
    """The result of a merge.

    Attributes:
        out: the model folder, or its address. tensors: output tensors by status.
        left_out: (model, tensor, status, reason) rows.
        bytes_read, bytes_written: of tensor data, by this run. passes: over the inputs.
        chunks_resumed, summaries_resumed: work of an earlier, stopped run that was kept.
        seconds: wall time from reading the recipe to commit. digest: of the output's tensors.
        warnings: all that was skipped, approximated, filled or copied.
        intermediate_bytes: always 0 (nothing is spooled). maps: what became of models of other architectures.
        budget: limit, bytes read, what was left out (see docs/budget.md); None without one.
    """

    out: Path | str
    tensors: Mapping[str, int]
    bytes_read: int
    bytes_written: int
    passes: int
    seconds: float
    digest: str
    memory_bytes: int
    warnings: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str, str, str], ...] = ()
    chunks_resumed: int = 0
    summaries_resumed: int = 0
    intermediate_bytes: int = 0
    files: tuple[str, ...] = field(default=())
    maps: tuple[MapCount, ...] = ()
    budget: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {**asdict(self), "out": str(self.out), "left_out": [list(r) for r in self.left_out]}
