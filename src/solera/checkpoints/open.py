"""Opening a model, wherever it is: headers, config and the names of side files; no tensor is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from solera.checkpoints import hub
from solera.checkpoints.contract import ByteReader, Checkpoint, Limits
from solera.checkpoints.folder import (
    list_files,
    list_side_files,
    path_inside,
    read_config,
    read_file,
    read_weights,
)
from solera.checkpoints.header import Header
from solera.checkpoints.quantised import with_dequantised
from solera.checkpoints.reader import FileReader
from solera.checkpoints.reference import parse_ref
from solera.checkpoints.remote.address import is_address
from solera.checkpoints.selection import choose_weights
from solera.errors import NotFound
from solera.types import ModelRef


def open_checkpoint(
    ref: ModelRef | str | Path,
    *,
    limits: Limits | None = None,
    offline: bool | None = None,
    cache_dir: str | Path | None = None,
    reader: ByteReader | None = None,
) -> Checkpoint:
    """Open a model folder, a weight file (.safetensors, .bin, .pt), a Hub id or an address, adapters applied lazily.

    Args:
        ref: a reference, or its text ``path@revision+adapter``.
        limits: bounds on what is read from untrusted files.
        offline: never ask the network; None follows HF_HUB_OFFLINE.
        cache_dir: the Hub's cache; None is the usual place.
        reader: reads the headers; give a fake to test faults.

    Cost: headers, config.json and a folder listing; for a Hub id not in the cache, its download.

    Raises:
        NotFound: no such model. CorruptFile, UnsafeFile: a file lies, or reading it would be dangerous.
        CheckpointError: a format or quantisation that is not read.

    Example:
        >>> import tempfile, pathlib, torch, safetensors.torch
        >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
        >>> safetensors.torch.save_file({"w": torch.ones(2, 3)}, path)
        >>> model = open_checkpoint(path)
        >>> model.specs["w"].shape, model.nbytes
        ((2, 3), 24)
    """
    ref = ref if isinstance(ref, ModelRef) else parse_ref(ref)
    limits = limits or Limits()
    if reader is None:
        with FileReader() as own:
            return open_checkpoint(ref, limits=limits, offline=offline, cache_dir=cache_dir, reader=own)
    if is_address(ref.path):
        from solera.checkpoints.remote.opening import open_remote

        model = open_remote(ref, limits)
    else:
        path = locate(ref.path, ref.revision, ref.subfolder, offline=offline, cache_dir=cache_dir)
        model = _open_folder(path, ref, reader, limits) if path.is_dir() else _open_file(path, ref, reader, limits)
    model = with_dequantised(model)
    for lora in ref.loras:
        from solera.checkpoints.adapter import with_adapter

        folder = locate(lora.path, lora.revision, None, offline=offline, cache_dir=cache_dir)
        model = with_adapter(model, folder, reader, limits, strength=lora.weight)
    return model


def download_size(ref: ModelRef | str | Path, *, cache_dir: str | Path | None = None) -> int:
    """Bytes that merging `ref` downloads, adapters included; 0 for local paths and what the cache has.

    Models at addresses are streamed, each time, so their weights count whether or not they were read before.

    Raises:
        NotFound: no such model.

    Example:
        >>> download_size(Path("."))
        0
    """
    ref = ref if isinstance(ref, ModelRef) else parse_ref(ref)
    wanted = [hub.HubModel(ref.path, ref.revision, ref.subfolder)]
    wanted += [hub.HubModel(lora.path, lora.revision) for lora in ref.loras]
    remote = (model for model in wanted if not _local(model.repo).exists() and hub.is_hub_id(model.repo))
    streamed = 0
    if is_address(ref.path):
        from solera.checkpoints.remote.opening import remote_size

        streamed = remote_size(ref)
    return streamed + sum(hub.download_size(model, cache_dir=cache_dir) for model in remote)


def locate(
    path: str, revision: str | None, subfolder: str | None, *, offline: bool | None, cache_dir: str | Path | None
) -> Path:
    """Local path of a model: what exists wins over the Hub; an adapter at an address is fetched.

    Raises:
        NotFound: neither a local path nor a model of the Hub. UnsafeFile: the subfolder leads out.
    """
    if is_address(path):
        from solera.checkpoints.remote.opening import fetch_adapter

        return fetch_adapter(path, revision)
    local = _local(path)
    if local.exists():
        return path_inside(local, subfolder) if subfolder else local
    if not hub.is_hub_id(path):
        raise NotFound("There is no such file or folder.", where=path, fix="check the path; Hub ids look like org/name")
    found = hub.fetch(hub.HubModel(path, revision, subfolder), offline=offline, cache_dir=cache_dir)
    if not found.is_dir():
        raise NotFound("The model has no such subfolder.", where=path, got=subfolder or "")
    return found


def _open_folder(folder: Path, ref: ModelRef, reader: ByteReader, limits: Limits) -> Checkpoint:
    selection = choose_weights(list_files(folder), where=str(folder))
    table, consumed, headers = read_weights(folder, selection, reader, limits)
    config = read_config(folder, limits)
    side_files, notes = list_side_files(folder)
    return Checkpoint(
        ref,
        table,
        config,
        folder,
        side_files,
        consumed,
        weak_id=weak_id(headers, config, folder),
        metadata=headers[0].metadata if headers else {},
        notes=tuple(note for note in (selection.note, *notes, _unlisted(consumed)) if note),
    )


def _open_file(path: Path, ref: ModelRef, reader: ByteReader, limits: Limits) -> Checkpoint:
    header = read_file(path, reader, limits)
    folder = path.parent if (path.parent / "config.json").is_file() else None
    config = read_config(folder, limits) if folder else {}
    bare = Checkpoint(
        ref, header.tensors, config, folder, metadata=header.metadata, weak_id=weak_id([header], config, path.parent)
    )
    if folder is None:
        return bare
    side_files, notes = list_side_files(folder)
    return replace(bare, side_files=side_files, notes=notes)


def weak_id(headers: Iterable[Header], config: Mapping[str, Any], folder: Path) -> str:
    """Identity by header digests, sizes and times: enough to plan with, not a proof of the bytes."""
    hasher = hashlib.sha256(repr(sorted(map(repr, config.items()))).encode())
    for header in headers:
        path = Path(header.path)
        name = path.relative_to(folder) if path.is_relative_to(folder) else path.name
        hasher.update(f"{name} {header.digest} {header.stamp.size} {header.stamp.mtime_ns}\n".encode())
    return hasher.hexdigest()[:32]


def _unlisted(consumed: Mapping[str, str]) -> str:
    return f"{len(consumed)} tensors are in the files but not in the index, and are left out" if consumed else ""


def _local(path: str) -> Path:
    return Path(path).expanduser().absolute()
