"""What a worker process does: unpack a batch, open the sources itself, compute, write by offset, give digests back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from solera.checkpoints import FileReader
from solera.checkpoints.reader import Stamp
from solera.errors import RunError, SoleraError
from solera.execute.budget import BudgetReader, under_budget
from solera.execute.chunks import write_chunk
from solera.execute.engine import Engine
from solera.execute.fused import FusedRun
from solera.execute.journal import boot_id
from solera.execute.kinship import Kinship
from solera.execute.makers import Maker, maker_for
from solera.execute.many.parcels import Done, Failure, Fold, Look, Orders, Write, unpacked
from solera.execute.many.software import differences, software
from solera.execute.places import Place
from solera.plan.chains import chain_of
from solera.plan.tasks import LeafTask


def look_at(path: str) -> Look:
    """What a file looks like, as far as nodes can agree on it."""
    if "://" in path:
        return 0, 0  # such an address holds size and pin itself
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
    in_order: ClassVar[bool] = False

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
    engine: Engine
    reader: NotedReader
    foreign: bool

    @classmethod
    def of(cls, orders: Orders) -> Desk:
        """Get ready: refuse to work with other software than the coordinator's."""
        have, want = differences(software(orders.plugins, orders.methods), orders.software)
        if have:
            raise unlike("this node", have, want)
        reader = NotedReader()
        engine = under_budget(Engine(reader=reader, **orders.engine), orders.budget)
        return cls(orders, engine, reader, boot_id() != orders.boot)

    def work(self, batch: Sequence[Fold | Write], node: str) -> Done:
        """Do a batch."""
        before, spent = self.reader.bytes_read, self._spent
        engine = replace(self.engine, kinship=Kinship())
        try:
            results = self._joined(engine, [i for i in batch if isinstance(i, Fold)])
            results += [row for i in batch if isinstance(i, Write) for row in self._write(engine, i)]
        finally:
            self.reader.files.close()  # a deleted model must not live on in an idle worker
        read, looks = self.reader.bytes_read - before, dict(self.reader.looks)
        return Done(node, tuple(results), read, self._spent - spent, looks, engine.kinship.ratios)

    @property
    def _spent(self) -> int:
        """Bytes of a budget that this process has spent in the phase."""
        return self.engine.reader.spent if isinstance(self.engine.reader, BudgetReader) else 0

    def _joined(self, engine: Engine, items: Sequence[Fold]) -> list[Any]:
        """One state for all folds of a batch, which are neighbours: states may be joined in any grouping."""
        joined: list[Any] = []
        for item in items:
            self._check_mark()
            task, step = item.task, item.step
            maker = maker_for(engine, task, None) if self.orders.fused else _stepped(engine, task)
            summary: Any = maker.pass_of(step) if isinstance(maker, FusedRun) else _summary(task, step)
            state = maker.fold(step, summary.init(self.orders.round, self.orders.previous))
            joined = [summary.merge(joined[0], state)] if joined else [state]
        return joined

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
                self._check_mark()
                digest = write_chunk(maker, item.expr, start, stop, item.dtype, place, engine.block)
                rows.append((key, (stop - start) * item.dtype.itemsize, digest))
        return rows

    def _check_mark(self) -> None:
        """The staged files of this very run must be here, not others of the same name; gone when the run has ended."""
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
    from ray import cloudpickle

    node = ray.get_runtime_context().get_node_id()
    try:
        if phase not in _desks:
            _desks.clear()
            _desks[phase] = Desk.of(unpacked(orders))
        done = _desks[phase].work(unpacked(batch), node)
    except SoleraError as error:
        done = Done(node, failure=Failure(type(error).__name__, error.fault))
    data: bytes = cloudpickle.dumps(done)  # states may hold functions of the step that they belong to
    return data
