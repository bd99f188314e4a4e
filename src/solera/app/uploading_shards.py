"""Shards on their way to an object store: filled on this disk, sent when full, and removed; few are here at once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any, ClassVar

from solera.app.uploading_target import Prefix
from solera.checkpoints.remote.trouble import Gone, Moved, changed
from solera.checkpoints.shards import ShardLayout
from solera.checkpoints.writer import PositionedFile, open_for_writing
from solera.errors import SoleraError
from solera.execute.journal import ChunkKey, Past, boot_id
from solera.plan.tasks import Plan

ON_DISK = 2
"""Shards that are on this disk at once: one that is filled, and one that is sent. A larger tensor has its own."""


class Sent:
    """The record of shards that have arrived: a line of JSON for each, beside the journal; kill -9 loses none."""

    def __init__(self, path: Path) -> None:
        """Read what is there."""
        self._path, self._lock = path, Lock()
        self.pins: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self.pins[row["shard"]] = row["pin"]

    def add(self, shard: str, pin: str) -> None:
        """A shard has arrived."""
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"shard": shard, "pin": pin}) + "\n")
            self.pins[shard] = pin


@dataclass(eq=False)
class Shard:
    """One output file as the engine's target of writes; `missing` bytes are still to come.

    In order: few shards are on the disk at once, and a later one waits until an earlier one is full and sent.
    """

    layout: ShardLayout
    path: Path
    uploads: Uploads
    missing: int
    file: PositionedFile | None = None
    away: bool = False
    opening: Lock = field(default_factory=Lock)
    in_order: ClassVar[bool] = True

    def write(self, offset: int, data: Any) -> None:
        """Take bytes; the last ones send the shard off.

        Raises:
            SoleraError: an upload failed, or the disk is full.
        """
        self._opened().write(offset, data)
        self.count(memoryview(data).nbytes)

    def count(self, nbytes: int) -> None:
        """Take note of bytes that are there."""
        with self.uploads.lock:
            self.missing -= nbytes
            full = self.missing == 0 and not self.away
            self.away = self.away or full
        if full:
            self._opened().close()
            self.uploads.send(self)

    def _opened(self) -> PositionedFile:
        with self.opening:
            if self.file is None:
                self.uploads.take_room()
                self.file = open_for_writing(self.path, self.layout.size)
                self.file.write(0, self.layout.header)
            return self.file


class Uploads:
    """Sends full shards to a prefix while others are filled."""

    def __init__(self, prefix: Prefix, sent: Sent) -> None:
        """Nothing is sent yet."""
        self.prefix, self.sent, self.lock = prefix, sent, Lock()
        self._room = BoundedSemaphore(ON_DISK)
        self._pool = ThreadPoolExecutor(ON_DISK, thread_name_prefix="solera-upload")
        self._waiting: list[Future[None]] = []
        self.bytes_sent = 0

    def take_room(self) -> None:
        """Wait until a shard may be put on the disk; a failed upload is raised here."""
        while not self._room.acquire(timeout=0.2):
            self._raise()
        self._raise()

    def give_room(self) -> None:
        """A shard has left the disk."""
        self._room.release()

    def send(self, shard: Shard) -> None:
        """Upload a full shard in the background, and remove it here."""
        with self.lock:
            self._waiting.append(self._pool.submit(self._send, shard))

    def finish(self) -> None:
        """Wait until all shards have arrived.

        Raises:
            SoleraError: the first failure.
        """
        for waiting in self._waiting:
            waiting.result()

    def close(self) -> None:
        """Wait for uploads under way; those not begun are left for --resume."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _send(self, shard: Shard) -> None:
        name, size = shard.layout.file, shard.layout.size
        pin = self.prefix.write(name, shard.path)
        check_arrived(self.prefix, name, size, pin)
        self.sent.add(name, pin)
        shard.path.unlink()
        with self.lock:
            self.bytes_sent += size
        self.give_room()

    def _raise(self) -> None:
        failed = (w.exception() for w in self._waiting if w.done() and not w.cancelled())
        if error := next((error for error in failed if error is not None), None):
            raise error


def check_arrived(prefix: Prefix, name: str, size: int, pin: str) -> None:
    """Look at an object that was sent.

    Raises:
        SourceChanged: it has another size or state.
    """
    try:
        seen = prefix.ask(lambda: prefix.door.get(name, 0, 1)).entry
    except (Gone, Moved):
        raise changed(f"{prefix.address}/{name}", "it is gone right after its upload") from None
    if seen.size != size or (pin and seen.pin != pin):
        raise changed(f"{prefix.address}/{name}", f"{seen.size} bytes, {size} were sent")


def still_good(
    plan: Plan, shards: Iterable[ShardLayout], past: Past, sent: Sent, prefix: Prefix, folder: Path
) -> tuple[Past, frozenset[str]]:
    """What of an earlier run's work can be used: chunks in arrived shards, and in files on this disk.

    Returns:
        (those chunks, names of arrived shards). After a reboot, files on this disk are made again.
    """
    rows: dict[str, dict[ChunkKey, tuple[str, int]]] = {}
    for key, row in past.chunks.items():
        rows.setdefault(plan.outputs[key[0]].name, {})[key] = row
    kept: dict[ChunkKey, tuple[str, int]] = {}
    arrived: set[str] = set()
    for shard in shards:
        own = {key: row for name in shard.specs for key, row in rows.get(name, {}).items()}
        if sum(n for _, n in own.values()) == _data_bytes(shard) and _is_there(prefix, shard, sent):
            arrived.add(shard.file)
        elif past.boot != boot_id() or not (folder / shard.file).is_file():
            continue
        kept |= own
    return Past(boot_id(), kept, past.summaries), frozenset(arrived)


def _is_there(prefix: Prefix, shard: ShardLayout, sent: Sent) -> bool:
    if shard.file not in sent.pins:
        return False
    try:
        check_arrived(prefix, shard.file, shard.size, sent.pins[shard.file])
    except SoleraError:
        return False
    return True


def _data_bytes(shard: ShardLayout) -> int:
    return shard.size - len(shard.header)


def opened_shards(
    plan: Plan, shards: Iterable[ShardLayout], past: Past, arrived: frozenset[str], uploads: Uploads, folder: Path
) -> Mapping[str, Shard]:
    """Tensor -> the file that it goes into; what an earlier run has filled is counted, and sent where it is full."""
    ordinals = {tensor.name: i for i, tensor in enumerate(plan.outputs)}
    done: dict[int, int] = {}
    for key, (_, nbytes) in past.chunks.items():
        done[key[0]] = done.get(key[0], 0) + nbytes
    made: dict[str, Shard] = {}
    for layout in shards:
        shard = Shard(layout, folder / layout.file, uploads, _data_bytes(layout))
        made |= dict.fromkeys(layout.specs, shard)
        if layout.file not in arrived:
            shard.count(sum(done.get(ordinals[name], 0) for name in layout.specs))
    return made
