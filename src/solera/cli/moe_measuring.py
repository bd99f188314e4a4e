"""The statistics that `solera moe merge` and `moe prune` need: measured now, or read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.cli.options import memory_bytes
from solera.cli.shown import warn

if TYPE_CHECKING:
    from solera.app import ExpertMerge


@dataclass(frozen=True, slots=True)
class Measuring:
    """What a method's statistics are measured with, and where they lie."""

    data: str | None
    folder: Path | None
    samples: int
    batch: int
    length: int
    memory: str | None


@contextmanager
def statistics_of(wanted: ExpertMerge, measuring: Measuring, listener: Any) -> Iterator[Path | None]:
    """The folder of the method's statistics; measured now where data are named, and then kept only where asked."""
    if measuring.data is None:
        yield measuring.folder
        return
    with tempfile.TemporaryDirectory() as place:
        folder = measuring.folder or Path(place)
        _measure(wanted, measuring, folder, listener)
        yield folder


def _measure(wanted: ExpertMerge, measuring: Measuring, folder: Path, listener: Any) -> None:
    from solera.checkpoints.reference import parse_ref
    from solera.cli.calibration import batches_of
    from solera.learn.statistics import Cut, measure
    from solera.learn.statistics.passes import DEFAULT_MEMORY
    from solera.learn.statistics.streaming import load_within
    from solera.methods.moe.cards import build

    assert measuring.data is not None
    ref, kinds = parse_ref(wanted.model), build(wanted.method, wanted.parameters).statistics
    cut = Cut(measuring.samples, measuring.batch, measuring.length)
    batches = batches_of(measuring.data, ref, cut, ("small", 0, None))
    limit = memory_bytes(measuring.memory) or DEFAULT_MEMORY
    done = measure(
        ref, batches, list(kinds), folder, data=measuring.data, memory=limit, load=load_within(limit), on_event=listener
    )
    for note in done.notes:
        warn(note)
