"""pack_inspect, pack_verify, pack_unpack: what a pack holds, whether it is whole, and one task of it as a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from solera.app.adapter_files import empty
from solera.app.pack_files import part_file
from solera.checkpoints import FileReader
from solera.errors import SoleraError
from solera.execute.staging import Staging, check_space, claimed, commit
from solera.inference.routed.contents import Contents, read_contents
from solera.inference.routed.index import INDEX, Pack, check_digests, damaged, open_pack, table_of
from solera.reconcile import MANIFEST, NUMERICS, dumped, put_file
from solera.reconcile.choosing import side_files
from solera.types import DType, Event, TensorSpec
from solera.version import __version__

Listener = Callable[[Event], None]


def pack_inspect(folder: str | Path) -> dict[str, Any]:
    """What the index of a pack says; no tensor is read.

    Returns:
        ``{"pack", "method", "parameters", "architecture", "start", "use", "sizes", "tasks", "router"}``.

    Raises:
        NotFound, CorruptFile, UnsafeFile: see `open_pack`.
    """
    pack = open_pack(folder)
    return {
        "pack": str(pack.folder),
        "method": pack.method,
        "parameters": dict(pack.parameters),
        "architecture": pack.architecture,
        "start": pack.start_role,
        "use": pack.use,
        "sizes": pack.sizes(),
        "tasks": [{**asdict(task), "labels": len(task.labels) if task.labels else None} for task in pack.tasks],
        "router": None if pack.router is None else asdict(pack.router),
    }


def pack_verify(folder: str | Path, *, on_event: Listener | None = None) -> dict[str, Any]:
    """Read every file of a pack, compare it with its digest, and check that the parts fit each other.

    Returns:
        ``{"pack", "files", "bytes", "damaged": [names], "fault": text or "", "ok"}``.

    Cost: two reads of the pack; memory for all of it.

    Raises:
        NotFound, CorruptFile, UnsafeFile: the index itself is missing or does not hold together.
    """
    pack = open_pack(folder)
    found = damaged(pack, on_event)
    fault = "" if found else _fault(pack)
    return {
        "pack": str(pack.folder),
        "files": len(pack.files),
        "bytes": sum(row.bytes for row in pack.files.values()),
        "damaged": found,
        "fault": fault,
        "ok": not found and not fault,
    }


def _fault(pack: Pack) -> str:
    try:
        read_contents(pack)
    except SoleraError as error:
        return error.fault.what
    return ""


def pack_unpack(
    folder: str | Path, task: str, out: str | Path, *, force: bool = False, on_event: Listener | None = None
) -> dict[str, Any]:
    """Write the model of one task as an ordinary folder, as the pack rebuilds it.

    Returns:
        ``{"out", "task", "tensors", "bytes"}``.

    Cost: one pass over the pack; memory for all of it.

    Raises:
        UnknownName: there is no such task. SoleraError: see `open_pack`; the target is then as it was before.
    """
    pack, listener = open_pack(folder), on_event or (lambda _event: None)
    place = pack.place(task)
    check_digests(pack)
    contents = read_contents(pack)
    specs = _specs(pack, contents, place)
    with claimed(Path(out), force=force, keep=[pack.folder]) as staging:
        empty(staging)
        check_space(staging.target, sum(spec.nbytes for spec in specs.values()))
        _write(contents, place, specs, staging, listener)
        _write_beside(pack, place, staging)
        commit(staging)
    nbytes = sum(spec.nbytes for spec in specs.values())
    return {"out": str(staging.target), "task": task, "tensors": len(specs), "bytes": nbytes}


def _specs(pack: Pack, contents: Contents, place: int) -> dict[str, TensorSpec]:
    """Those of the start, and of the task's own tensors."""
    with FileReader() as reader:
        specs = {name: source.spec for name, source in table_of(pack, pack.start, reader).items()}
        own = table_of(pack, pack.tasks[place].file, reader)
        return {**specs, **{name: own[f"own/{name}"].spec for name in contents.tasks[place].own}}


def _write(
    contents: Contents, place: int, specs: Mapping[str, TensorSpec], staging: Staging, listener: Listener
) -> None:
    weights = tuple(float(k == place) for k in range(len(contents.tasks)))
    added = contents.tasks[place]
    with part_file(staging.model, "model.safetensors", dict(specs)) as file:
        for done, (name, spec) in enumerate(specs.items(), 1):
            value = added.own.get(name)
            if value is None:
                value = contents.merged(name, weights) if added.changes(name) else contents.start[name]
            file.write(name, value if value.dtype == _torch(spec.dtype) else value.to(_torch(spec.dtype)))
            listener(Event("progress", "unpack", done=done, total=len(specs), unit="tensors"))


def _torch(dtype: DType) -> torch.dtype:
    found: torch.dtype = getattr(torch, dtype.torch_name)
    return found


def _write_beside(pack: Pack, place: int, staging: Staging) -> None:
    """Config with the task's labels, the side files of the pack, and where it all comes from."""
    config, task = dict(pack.config), pack.tasks[place]
    if task.labels:
        config["id2label"] = {str(key): value for key, value in task.labels.items()}
        config["label2id"] = {value: key for key, value in task.labels.items()}
    put_file(staging.model, "config.json", dumped(config))
    names = [path.name for path in pack.folder.iterdir() if path.is_file() and path.name != INDEX]
    for row in side_files(pack.folder, names):
        if row.action == "copy":
            put_file(staging.model, row.name, (pack.folder / row.name).read_bytes())
    made = {
        "solera": __version__, "numerics": NUMERICS, "kind": "unpacked", "method": pack.method, "task": task.name,
        "pack": str(pack.folder), "weights": {name: row.digest for name, row in pack.files.items()},
    }  # fmt: skip
    put_file(staging.model, MANIFEST, dumped(made))
