"""What all workers of a run share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from solera.checkpoints.contract import ByteReader
from solera.execute.kinship import Kinship
from solera.execute.windows import Windows
from solera.ops.kernels.buffers import Buffers
from solera.plan.cost import window_bytes
from solera.plan.tasks import Call

if TYPE_CHECKING:
    from solera.execute.budget import Spending

PopulationKey = tuple[tuple[str, Call], int]
"""(population, position of the step)."""


@dataclass(frozen=True, eq=False)
class Engine:
    """The reader, the finished whole-model summaries, the sizes of work.

    `block`: elements per block. `hold_bytes`: cap on one leaf's held inputs. `budget`: what may be left out.
    `device`: where steps compute, as torch names it; None for this machine's cores, where fused kernels are used too.
    """

    reader: ByteReader
    keep_nonfinite: bool
    block: int
    hold_bytes: int
    populations: dict[PopulationKey, Any] = field(default_factory=dict)
    kinship: Kinship = field(default_factory=Kinship)
    buffers: Buffers = field(default_factory=Buffers)
    budget: Spending | None = None
    device: str | None = None
    windows: Windows = field(init=False)

    def __post_init__(self) -> None:
        room, all_wanted = window_bytes(self.hold_bytes), self.budget is None
        object.__setattr__(self, "windows", Windows(self.reader, self.buffers, room, all_wanted))
