"""Opening a model at an address: a listing, its small files, one or two requests for each header; no tensor is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from solera.checkpoints.contract import Checkpoint, Limits, Source
from solera.checkpoints.folder import indexed_once, join_headers, list_side_files, read_config, read_index
from solera.checkpoints.header import Header
from solera.checkpoints.reader import Stamp
from solera.checkpoints.remote.address import Pinned, without_secrets
from solera.checkpoints.remote.doors import Door, Entry, door_to
from solera.checkpoints.remote.listing import CONNECTIONS, entries_of, settled
from solera.checkpoints.remote.patience import Patience
from solera.checkpoints.remote.reading import fetch
from solera.checkpoints.remote.snapshot import place_of, snapshot
from solera.checkpoints.remote.trouble import family, missing
from solera.checkpoints.safetensors_file import PREFIX, checked_length, parsed_once
from solera.checkpoints.selection import Selection, choose_weights, is_side_file, is_weights
from solera.errors import CheckpointError, NotFound, UnsafeFile
from solera.types import ModelRef

HEAD_BYTES = 256 << 10
"""What the first request for a header asks for: most headers are shorter, and come with it."""
SIDE_BYTES = 256 << 20
"""Larger files beside the weights stay where they are."""


@dataclass(frozen=True, slots=True)
class Found:
    """A remote folder: its address (a commit in it, on the Hub), its door, its files, the weights among them."""

    folder: str
    door: Door
    files: Mapping[str, Entry]
    weights: Selection

    @property
    def beside(self) -> dict[str, Entry]:
        """The small files that are fetched: config, index, side files."""
        wanted = {"config.json", self.weights.index}
        small = {name: entry for name, entry in self.files.items() if entry.size <= SIDE_BYTES}
        return {name: entry for name, entry in small.items() if name in wanted or is_side_file(name)}

    @property
    def skipped(self) -> tuple[str, ...]:
        """Notes on files that are too large to go along."""
        large = [n for n, entry in self.files.items() if is_side_file(n) and entry.size > SIDE_BYTES]
        return tuple(f"{name} is larger than {SIDE_BYTES >> 20} MiB and was left out" for name in large)


def open_remote(ref: ModelRef, limits: Limits | None = None) -> Checkpoint:
    """Open a model at an address; its tensors are ranges of pinned objects, its small files lie in the cache.

    Cost: a listing, the small files that the cache lacks, one or two requests for each weight file.

    Raises:
        NotFound: nothing is there. CheckpointError: no access, no credentials, weights that are no safetensors.
        SourceChanged: an object changed between listing and header. CorruptFile, UnsafeFile: a file lies.
    """
    limits, patience = limits or Limits(), Patience.of_environment()
    _check_clean(ref)
    found = look(ref, limits, patience)
    here = snapshot(found.folder, found.door, found.beside, patience)
    names, weight_map = _weight_files(found, here, limits)
    headers = _headers(found, names, limits, patience)
    table: Mapping[str, Source]
    consumed: dict[str, str] = {}
    if weight_map is None:
        table = headers[0].tensors if len(headers) == 1 else join_headers(headers)
    else:
        table, consumed = indexed_once(dict(zip(names, headers, strict=True)), weight_map, found.weights.index or "")
    side_files, notes = list_side_files(here)
    unlisted = f"{len(consumed)} tensors are in the files but not in the index, and are left out" if consumed else ""
    return Checkpoint(
        ref,
        table,
        read_config(here, limits),
        here,
        side_files,
        consumed,
        weak_id=weak_id(found, names),
        metadata=headers[0].metadata if headers else {},
        notes=tuple(note for note in (found.weights.note, *notes, *found.skipped, unlisted) if note),
    )


def _check_clean(ref: ModelRef) -> None:
    """References made by hand must not carry secrets into plans and manifests.

    Raises:
        CheckpointError: the address holds a password or a signature.
    """
    if (plain := without_secrets(ref.path)) != ref.path:
        fix = "make the reference with solera.checkpoints.parse_ref, which keeps secrets out of it"
        raise CheckpointError("The address of this reference holds a secret.", where=plain, fix=fix)


def look(ref: ModelRef, limits: Limits, patience: Patience) -> Found:
    """List the folder of a model, or find the one file that its address names."""
    if ref.subfolder and family(ref.path) == "hf":
        raise CheckpointError("hf:// addresses have no subfolders.", where=ref.path, fix="give the Hub id instead")
    address = ref.path.rstrip("/") + (f"/{ref.subfolder.strip('/')}" if ref.subfolder else "")
    path, mark, query = address.partition("?") if family(address) == "http" else (address, "", "")
    name = PurePosixPath(path).name
    if is_weights(name):
        return _one_file(_at(path.rpartition("/")[0] + mark + query, ref.revision), name, patience)
    folder = _at(address, ref.revision)
    door = _opened(folder, patience)
    folder = getattr(door, "address", folder)
    files = entries_of(folder, door, patience, limits)
    weights = choose_weights(list(files), where=address)
    _check_readable(weights, files, address)
    return Found(folder, door, files, weights)


def _at(folder: str, revision: str | None) -> str:
    """A folder at its revision."""
    return f"{folder}@{revision}" if revision else folder


def _opened(folder: str, patience: Patience) -> Door:
    """The door to a folder; on the Hub that already asks for the commit."""
    return settled(folder, patience, lambda: door_to(folder, patience=patience))


def _one_file(folder: str, name: str, patience: Patience) -> Found:
    door = settled(folder, patience, lambda: door_to(folder, name, patience=patience))
    folder = getattr(door, "address", folder)
    address = Pinned(folder, name, 0, "").address
    entry = settled(address, patience, lambda: door.get(name, 0, 1)).entry
    weights = Selection("safetensors", (name,))
    _check_readable(weights, {name: entry}, address)
    return Found(folder, door, {name: entry}, weights)


def _check_readable(weights: Selection, files: Mapping[str, Entry], address: str) -> None:
    names = weights.files or tuple(name for name in (weights.index,) if name)
    if weights.kind != "safetensors" or any(".safetensors" not in name for name in names):
        fix = "download the model and give its folder, or use a copy in safetensors"
        raise CheckpointError("Only safetensors are read from addresses.", where=address, got=", ".join(names), fix=fix)
    if weights.index is None and len(names) > 1:
        raise NotFound(
            "The model is not complete.", where=address, got=f"{len(names)} shards without an index",
            fix="wait for its writer, or upload it again",
        )  # fmt: skip
    if gone := [name for name in names if name not in files]:
        raise missing(f"{address}/{gone[0]}")


def _weight_files(found: Found, here: Path, limits: Limits) -> tuple[list[str], dict[str, str] | None]:
    """Names of the weight files, and the map of the index, if there is one."""
    if found.weights.index is None:
        return list(found.weights.files), None
    weight_map = read_index(here, found.weights.index, limits)
    names = sorted(set(weight_map.values()))
    if gone := [name for name in names if name not in found.files]:
        where = f"{found.folder}/{found.weights.index}"
        raise NotFound("A shard that the index names is missing.", where=where, got=gone[0], fix="upload it again")
    return names, weight_map


def weak_id(found: Found, names: Iterable[str]) -> str:
    """Identity by name, size and ETag of the weights, their index and the config: enough to plan with."""
    kept = sorted({*names, "config.json", found.weights.index or ""} & found.files.keys())
    rows = [(name, found.files[name].size, found.files[name].pin) for name in kept]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:32]


def _headers(found: Found, names: list[str], limits: Limits, patience: Patience) -> tuple[Header, ...]:
    with ThreadPoolExecutor(min(CONNECTIONS, max(len(names), 1))) as pool:
        return tuple(pool.map(lambda name: _header(found, name, limits, patience), names))


def _header(found: Found, name: str, limits: Limits, patience: Patience) -> Header:
    """One request, or two where the header is longer than the first."""
    entry = found.files[name]
    pinned = Pinned(found.folder, name, entry.size, entry.pin)
    first = bytes(fetch(found.door, pinned, 0, min(HEAD_BYTES, entry.size), patience)) if entry.size else b""
    length = checked_length(first[:PREFIX], pinned.address, entry.size, limits)
    text = first[PREFIX : PREFIX + length]
    if len(text) < length:
        text += bytes(fetch(found.door, pinned, len(first), PREFIX + length, patience))
    digest = hashlib.sha256(text).hexdigest()
    try:
        metadata, tensors = parsed_once(digest, text, str(pinned), entry.size - PREFIX - length, limits)
    except CheckpointError as error:
        where = error.fault.where.replace(str(pinned), pinned.address)
        raise type(error).of(replace(error.fault, where=where)) from None
    return Header(str(pinned), Stamp(0, 0, entry.size, 0), digest, tensors, metadata)


def remote_size(ref: ModelRef) -> int:
    """Bytes of a model that a merge reads over the network: its weights once, and the small files not in the cache."""
    patience, limits = Patience.of_environment(), Limits()
    found = look(ref, limits, patience)
    beside = {} if place_of(found.folder, found.beside).is_dir() else found.beside
    if found.weights.index is None:
        names: Iterable[str] = found.weights.files
    else:
        names = (n for n in found.files if "/" not in n and n.endswith(".safetensors") and not n.startswith("adapter_"))
    return sum(found.files[name].size for name in names) + sum(entry.size for entry in beside.values())


def fetch_adapter(address: str, revision: str | None) -> Path:
    """A local copy of a remote adapter: small enough to be fetched whole, once for each state of it.

    Raises:
        NotFound: no adapter there. UnsafeFile: it is too large for one. Others as `open_remote`.
    """
    patience, limits = Patience.of_environment(), Limits()
    folder = _at(address, revision)
    door = _opened(folder, patience)
    folder = getattr(door, "address", folder)
    files = entries_of(folder, door, patience, limits)
    if "adapter_config.json" not in files:
        raise NotFound("There is no adapter at this address.", where=address, want="adapter_config.json")
    wanted = {n: e for n, e in files.items() if n.startswith("adapter_") or (is_side_file(n) and e.size <= SIDE_BYTES)}
    if (total := sum(entry.size for entry in wanted.values())) > ADAPTER_BYTES:
        raise UnsafeFile(
            "The adapter is too large.", where=address, got=f"{total} bytes", want=f"{ADAPTER_BYTES} at most"
        )
    return snapshot(folder, door, wanted, patience)


ADAPTER_BYTES = 8 << 30
