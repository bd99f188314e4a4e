"""A prefix of an object store as the target of a merge: one writer at a time, and a model that appears at once.

The index of the weights is the pointer: it is written last, and only where there is none. Shards carry the run's id in
their names, so that no run ever overwrites a shard that somebody may be reading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from solera.checkpoints.remote.doors import Door, Entry, door_to
from solera.checkpoints.remote.listing import INDEX
from solera.checkpoints.remote.patience import Passing, Patience, persistently
from solera.checkpoints.remote.trouble import Gone, Moved, exhausted, family
from solera.checkpoints.selection import is_side_file, is_weights
from solera.errors import BadParameter, NotFound, TargetInUse

T = TypeVar("T")
CLAIM = ".solera-writer.json"
POINTERS = (INDEX, "model.safetensors")
"""What makes shards a model, for every reader."""
_OURS = re.compile(r"^model-[0-9a-f]{8}-\d{5}-of-\d{5}\.safetensors$")
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Prefix:
    """The target: its address, the door to it, and how often to ask."""

    address: str
    door: Door
    patience: Patience

    @classmethod
    def at(cls, address: str) -> Prefix:
        """A prefix of a store that keeps conditions on writes.

        Raises:
            BadParameter: another kind of address. CheckpointError: it cannot be opened.
        """
        if family(address) not in ("s3", "gs", "az"):
            fix = "merge into a folder; for the Hub then: solera push FOLDER org/name"
            raise BadParameter("Models are not written there.", got=address, want="s3://, gs:// or az://", fix=fix)
        patience = Patience.of_environment()
        return cls(address, door_to(address, patience=patience), patience)

    def ask(self, question: Callable[[], T]) -> T:
        """Run a request, repeated while its failure may pass; `Moved` and `Gone` come through."""
        try:
            return persistently(question, self.patience)
        except Passing as last:
            raise exhausted(self.address, last, self.patience.attempts) from None

    def entries(self) -> Mapping[str, Entry]:
        """Objects below the prefix; none is no error, a bucket that is not there is one."""
        try:
            return self.ask(self.door.entries)
        except Gone:
            fix = "make the bucket first, or check the spelling"
            raise NotFound("There is no such bucket.", where=self.address, fix=fix) from None

    def read(self, name: str, size: int = 1 << 26) -> bytes | None:
        """A small object; None where there is none."""
        try:
            return bytes(self.ask(lambda: self.door.get(name, 0, size)).data)
        except (Gone, Moved):
            return None

    def write_new(self, name: str, data: bytes) -> bool:
        """Write where nothing is; False where another was first. An answer that got lost is looked up."""
        try:
            self.ask(lambda: self.door.put(name, data, pin=""))
        except Moved:
            return self.read(name) == data
        return True

    def write(self, name: str, data: bytes | Path) -> str:
        """Write, whatever is there; returns the pin."""
        return self.ask(lambda: self.door.put(name, data))

    def delete(self, names: Collection[str]) -> None:
        """Remove objects, those already gone included."""

        def remove(name: str) -> None:
            with suppress(Gone):
                self.ask(lambda: self.door.delete(name))

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(remove, names))


def check_address(address: str, backend: str) -> None:
    """Refuse a target that could never be written, before anything is read.

    Raises:
        BadParameter: another kind of address, or the workers of a cluster, which have no disk in common with this one.
        CheckpointError: the address cannot be opened.
    """
    Prefix.at(address)
    if backend not in ("threads", "inline", "cuda"):
        fix = "merge into a folder that all nodes see, and copy it"
        raise BadParameter(
            "A cluster does not write to addresses.", got=backend, want="threads, inline or cuda", fix=fix
        )


def claim(prefix: Prefix, run: str, said: Mapping[str, Any], *, force: bool, mine: Collection[str] = ()) -> None:
    """Become the one writer of a prefix.

    Args:
        prefix: the target.
        run: this run's id; a claim of the same run is its own.
        said: who and when, for others to read.
        force: replace a model that is there, and take the place of another writer.
        mine: ids of earlier runs of this machine, whose claims and shards are thrown away.

    Raises:
        TargetInUse: a model or anything else is there, or another run is writing it.
    """
    there = prefix.entries()
    written = json.dumps({"run": run, **said}, indent=2).encode()
    holder = _holder(prefix) if CLAIM in there else None
    if holder is not None and holder.get("run") not in (run, *mine) and not force:
        by = ", ".join(f"{key} {holder[key]}" for key in ("host", "started") if key in holder)
        raise TargetInUse(
            "another run is writing this target.", where=prefix.address, got=by,
            fix="wait for it to end; if it is dead, resume it where it ran, or add --force",
        )  # fmt: skip
    if not force and (foreign := [name for name in there if name != CLAIM and not _OURS.match(name)]):
        raise TargetInUse(
            "the target is not empty.", where=prefix.address, got=", ".join(sorted(foreign)[:3]),
            want="a prefix where nothing is", fix="choose another, or add --force",
        )  # fmt: skip
    if holder is not None and holder.get("run") != run:
        prefix.delete([CLAIM])
        prefix.delete([name for name in there if any(name.startswith(f"model-{old}-") for old in mine)])
    if not prefix.write_new(CLAIM, written) and (_holder(prefix) or {}).get("run") != run:
        raise taken(prefix)


def _holder(prefix: Prefix) -> dict[str, Any] | None:
    """Who holds the claim; {} where it cannot be read."""
    data = prefix.read(CLAIM)
    if data is None:
        return None
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def check_held(prefix: Prefix, run: str) -> None:
    """Refuse to go on when another writer has taken the target.

    Raises:
        TargetInUse: the claim is gone, or another's.
    """
    if (_holder(prefix) or {}).get("run") != run:
        raise taken(prefix)


def taken(prefix: Prefix) -> TargetInUse:
    """Another writer was first, or took over by force."""
    return TargetInUse("another run has taken this target.", where=prefix.address, fix="choose another target")


def publish(prefix: Prefix, run: str, folder: Path, shards: Collection[str]) -> tuple[str, ...]:
    """Put everything beside the shards, then the pointer; returns notes on what was left of an older model.

    While an older model is replaced there is none for a moment: its pointer goes first, so that its weights are never
    read with the new config.

    Raises:
        TargetInUse: another writer was quicker; what it wrote stands.
    """
    check_held(prefix, run)
    before = prefix.entries()
    prefix.delete([name for name in POINTERS if name in before])
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda name: prefix.write(name, (folder / name).read_bytes()), set(names) - {INDEX}))
    check_held(prefix, run)
    if not prefix.write_new(INDEX, (folder / INDEX).read_bytes()):
        raise taken(prefix)
    stale = [name for name in before if name not in {*names, *shards}]
    swept = [name for name in stale if "/" not in name and (is_weights(name) or is_side_file(name))]
    prefix.delete([*swept, CLAIM])
    left = [name for name in stale if name not in {*swept, CLAIM}]
    more = f"{', '.join(left[:3])}{' and more' if len(left) > 3 else ''}"
    return (f"left as they were at the target: {more}",) if left else ()


def release(prefix: Prefix, run: str) -> None:
    """Take back a claim and the shards of a run that has ended without a model; trouble is left to the next writer."""
    with suppress(Exception):
        there = prefix.entries()
        prefix.delete([name for name in there if name.startswith(f"model-{run}-")])
        if (_holder(prefix) or {}).get("run") == run:
            prefix.delete([CLAIM])
