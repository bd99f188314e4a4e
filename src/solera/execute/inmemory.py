"""Run a plan into memory: the same work as for files, with buffers in their place and nobody to tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from solera.checkpoints.contract import ByteReader
from solera.execute.job import Listener
from solera.execute.journal import ChunkKey, Past
from solera.execute.places import Place
from solera.execute.run import Outcome, execute_into
from solera.plan.cost import Shape
from solera.plan.tasks import Plan

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Bytes in memory that threads fill at disjoint offsets.

    Example:
        >>> buffer = Buffer(np.zeros(4, np.uint8))
        >>> buffer.write(2, bytes([7, 8]))
        >>> buffer.data.tolist()
        [0, 0, 7, 8]
    """

    data: Bytes
    in_order: ClassVar[bool] = False

    def write(self, offset: int, data: Any) -> None:
        """Copy a contiguous buffer to `offset`."""
        taken = np.frombuffer(data, np.uint8)
        self.data[offset : offset + taken.size] = taken


class Unrecorded:
    """The record of a run that cannot be resumed."""

    def chunk(self, key: ChunkKey, digest: str, nbytes: int) -> None:
        """Nothing is kept."""

    def summary(self, stage: int, rounds: int, value: Any) -> None:
        """Nothing is kept."""


def execute_in_memory(
    plan: Plan, shape: Shape, reader: ByteReader, listener: Listener
) -> tuple[dict[str, Bytes], Outcome]:
    """Make all output tensors; returns the bytes of each, by name, and what the run did.

    Cost: memory of the whole output, beside what the plan says.

    Raises:
        NonFinite, SourceChanged, Interrupted: the run stops.
    """
    buffers = {t.name: np.empty(t.numel * t.dtype.itemsize, np.uint8) for t in plan.outputs}
    places = {name: Place(Buffer(data), 0) for name, data in buffers.items()}
    return buffers, execute_into(places, plan, shape, reader, Unrecorded(), Past(), listener)
