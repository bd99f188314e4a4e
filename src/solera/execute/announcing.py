"""What a run will read of remote objects, told to the reader in advance, so that requests run ahead of the work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from solera.checkpoints.ranges import FileRange
from solera.plan.expressions import reads_of
from solera.plan.tasks import Expr, Plan

if TYPE_CHECKING:
    from solera.checkpoints.contract import ByteReader, Source


def announce(reader: ByteReader, plan: Plan, exprs: Iterable[Expr]) -> None:
    """Tell `reader` the ranges that leaves will take, in the order in which they are made.

    Plain ranges alone are told: what else reads (adapters, gathered rows, chosen blocks) is read as it is asked for.
    Cost: nothing where no model is remote.
    """
    tell: Any = getattr(reader, "announce", None)
    if tell is not None and any("://" in opened.ref.path for opened in plan.models.values()):
        tell((list(_ranges(expr)) for expr in exprs), threads=os.cpu_count() or 1)


def announce_sources(reader: ByteReader, spans: Iterable[tuple[Source, int, int]]) -> None:
    """Tell `reader` the elements [start, stop) of sources that will be read one after the other."""
    tell: Any = getattr(reader, "announce", None)
    if tell is not None:
        tell([_range(source, start, stop)] for source, start, stop in spans if isinstance(source, FileRange))


def _range(source: FileRange, start: int, stop: int) -> tuple[str, int, int]:
    size = source.spec.dtype.itemsize
    return source.path, source.offset + start * size, source.offset + stop * size


def _ranges(expr: Expr) -> Iterator[tuple[str, int, int]]:
    for read in reads_of(expr):
        source = read.source
        if isinstance(source, FileRange):
            yield _range(source, read.offset, read.offset + read.numel)
