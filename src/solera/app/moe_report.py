"""What was done to a model's experts, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ExpertReport:
    """The result of `moe_merge`, `moe_prune` and `moe_upcycle`.

    Attributes:
        out: the model's folder. method: with its parameters. experts: in every layer, (before, after); before is 0 for
            dense models. layers: that have experts. top: experts that a token is sent to.
        groups: layer -> members of the experts of the output, in their order.
        rows: what became of the router's rows. moved: experts whose neurons were put into another order.
        bytes: of the output's tensors. distinct: of those that differ, where slots hold equal experts; else the same.
        digest: of all tensors. written: false for a dry run; then the digest is empty.
    """

    out: Path
    method: str
    experts: tuple[int, int]
    layers: int
    top: int
    groups: Mapping[int, tuple[tuple[int, ...], ...]]
    rows: str
    moved: int
    bytes: int
    distinct: int
    seconds: float
    digest: str = ""
    warnings: tuple[str, ...] = ()
    written: bool = True

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {**asdict(self), "out": str(self.out)}
