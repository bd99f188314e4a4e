"""What a worker process does: unpack a batch, open the sources itself, compute, write by offset, give digests back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from solera.checkpoints import FileReader
from solera.checkpoints.reader import Stamp
from solera.errors import RunError, SoleraError
from solera.execute.chunks import write_chunk
from solera.execute.engine import Engine
from solera.execute.fused import FusedRun
from solera.execute.journal import boot_id
from solera.execute.kinship import Kinship
from solera.execute.makers import Maker, maker_for
from solera.execute.many.parcels import Done, Failure, Fold, Look, Orders, Write, packed, unpacked
from solera.execute.many.software import differences, software
from solera.execute.places import Place
from solera.plan.chains import chain_of
from solera.plan.tasks import LeafTask


def look_at(path: str) -> Look:
    """What a file looks like, as far as nodes can agree on it."""
    stamp = Stamp.of(path)
    return stamp.size, stamp.mtime_ns // 1_000_000_000


@dataclass(eq=False)
class NotedReader:
    """Reads, counts, and notes what each file looked like at first."""

    files: FileReader = field(default_factory=FileReader)
    looks: dict[str, Look] = field(default_factory=dict)

    @property
    def bytes_read(self) -> int:
        """Bytes read so far."""
        return self.files.bytes_read

    def pread(
        self, path: str, offset: int, nbytes: int, out: np.ndarray[Any, np.dtype[np.uint8]] | None = None
    ) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """As `FileReader.pread`."""
        if path not in self.looks:
            self.looks[path] = look_at(path)
        return self.files.pread(path, offset, nbytes, out)


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A staged output file, written by offset; it was made, at its full size, by the coordinator."""

    path: str
    descriptor: int

    @classmethod
    def open(cls, path: str) -> StagedFile:
        """Open a file that is there."""
        try:
            return cls(path, os.open(path, os.O_WRONLY))
        except OSError as error:
            raise RunError("A staged file cannot be written.", where=path, got=error.strerror) from None

    def write(self, offset: int, data: Any) -> None:
        """Write a contiguous buffer."""
        from solera.checkpoints.writer import pwrite
        from solera.execute.staging import unwritable

        try:
            pwrite(self.descriptor, data, offset)
        except OSError as error:
            raise unwritable(Path(self.path), error) from None

    def finish(self, *, sync: bool) -> None:
        """Close; on another machine than the coordinator's, force the data out first."""
        try:
            if sync:
                os.fsync(self.descriptor)
        finally:
            os.close(self.descriptor)


@dataclass(frozen=True, eq=False)
class Desk:
    """A worker process in one phase of a run."""

    orders: Orders
    reader: NotedReader
    foreign: bool

    @classmethod
    def of(cls, orders: Orders) -> Desk:
        """Get ready: refuse to work with other software than the coordinator's."""
        have, want = differences(software(orders.plugins, orders.methods), orders.software)
        if have:
            raise unlike("this node", have, want)
        return cls(orders, NotedReader(), boot_id() != orders.boot)

    def work(self, batch: Sequence[Fold | Write], node: str) -> Done:
        """Do a batch."""
        before = self.reader.bytes_read
        engine = Engine(reader=self.reader, kinship=Kinship(), **self.orders.engine)
        try:
            results = [self._fold(engine, i) if isinstance(i, Fold) else self._write(engine, i) for i in batch]
        finally:
            self.reader.files.close()  # a deleted model must not live on in an idle worker
        return Done(
            node, tuple(results), self.reader.bytes_read - before, dict(self.reader.looks), engine.kinship.ratios
        )

    def _fold(self, engine: Engine, item: Fold) -> Any:
        task, step = item.task, item.step
        maker = maker_for(engine, task, None) if self.orders.fused else _stepped(engine, task)
        summary = maker.pass_of(step) if isinstance(maker, FusedRun) else _summary(task, step)
        return maker.fold(step, summary.init(self.orders.round, self.orders.previous))

    def _write(self, engine: Engine, item: Write) -> list[tuple[Any, int, str]]:
        self._check_mark()
        maker = maker_for(engine, item.expr, item.dtype)
        maker.hold(engine.hold_bytes)
        rows = []
        with ExitStack() as opened:
            file = StagedFile.open(item.file)
            opened.callback(file.finish, sync=self.foreign)
            place = Place(file, item.offset)
            for key, start, stop in item.chunks:
                digest = write_chunk(maker, item.expr, start, stop, item.dtype, place, engine.block)
                rows.append((key, (stop - start) * item.dtype.itemsize, digest))
        return rows

    def _check_mark(self) -> None:
        """The staged files of this very run must be here, not others of the same name."""
        if read_mark(self.orders.mark) != self.orders.run:
            raise unseen("this node", self.orders.mark)


def _stepped(engine: Engine, task: LeafTask) -> Maker:
    from solera.execute.stepped import SteppedRun

    return SteppedRun.of(engine, task)


def _summary(task: LeafTask, step: int) -> Any:
    return chain_of(task.call).steps[step].summary


def read_mark(path: str) -> str:
    """The nonce in the staging folder; nothing where it is not to be seen."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def unlike(node: str, have: str, want: str) -> RunError:
    """The error for a node with other software."""
    return RunError(
        "A node of the cluster does not have what the coordinator has.",
        where=node,
        got=have,
        want=want,
        fix="install the same versions there, plugin files at the same path, or take the node out of the cluster",
    )


def unseen(node: str, mark: str) -> RunError:
    """The error for a node that does not see the staging folder."""
    return RunError(
        "A node of the cluster does not see the folder that the output is written in.",
        where=node,
        got=f"no {mark}, or another run's",
        want="a target on a file system that all nodes share, at the same path",
        fix="choose a target on the shared file system, or take the node out of the cluster",
    )


_desks: dict[str, Desk] = {}


def do(phase: str, orders: bytes, batch: bytes) -> bytes:
    """Do a batch of a phase; errors of the house come back as values, so that they keep their parts."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    try:
        if phase not in _desks:
            _desks.clear()
            _desks[phase] = Desk.of(unpacked(orders))
        return packed(_desks[phase].work(unpacked(batch), node))
    except SoleraError as error:
        return packed(Done(node, failure=Failure(type(error).__name__, error.fault)))
