"""pack_inspect, pack_verify, pack_unpack: what a pack holds, whether it is whole, and one task of it as a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from solera.app.adapter_files import empty
from solera.app.pack_files import part_file
from solera.checkpoints import FileReader
from solera.errors import SoleraError
from solera.execute.staging import Staging, check_space, claimed, commit
from solera.inference.routed.contents import Tables, rebuilt, tables_of
from solera.inference.routed.digests import check_digests, damaged
from solera.inference.routed.index import INDEX, Pack, open_pack
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
    """Read every file of a pack, compare it with its digest, and check by their headers that the parts fit each other.

    Returns:
        ``{"pack", "files", "bytes", "damaged": [names], "fault": text or "", "ok"}``.

    Cost: one read of the pack, in blocks.

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
        with FileReader() as reader:
            tables_of(pack, reader)
    except SoleraError as error:
        return error.fault.what
    return ""


def pack_unpack(
    folder: str | Path, task: str, out: str | Path, *, force: bool = False, on_event: Listener | None = None
) -> dict[str, Any]:
    """Write the model of one task as an ordinary folder, as the pack rebuilds it.

    Returns:
        ``{"out", "task", "tensors", "bytes"}``.

    Cost: one read of the pack for its digests, one of what the task needs; memory for some copies of one tensor.

    Raises:
        UnknownName: there is no such task. SoleraError: see `open_pack`; the target is then as it was before.
    """
    pack, listener = open_pack(folder), on_event or (lambda _event: None)
    place = pack.place(task)
    check_digests(pack)
    with FileReader() as reader, claimed(Path(out), force=force, keep=[pack.folder]) as staging:
        tables = tables_of(pack, reader)
        specs = _specs(tables, place)
        empty(staging)
        check_space(staging.target, sum(spec.nbytes for spec in specs.values()))
        with part_file(staging.model, "model.safetensors", specs) as file:
            for done, (name, spec) in enumerate(specs.items(), 1):
                file.write(name, rebuilt(tables, name, place, pack.tasks[place].scale, reader).to(_torch(spec.dtype)))
                listener(Event("progress", "unpack", done=done, total=len(specs), unit="tensors"))
        _write_beside(pack, place, staging)
        commit(staging)
    nbytes = sum(spec.nbytes for spec in specs.values())
    return {"out": str(staging.target), "task": task, "tensors": len(specs), "bytes": nbytes}


def _specs(tables: Tables, place: int) -> dict[str, TensorSpec]:
    """Those of the start, and of the task's own tensors."""
    return {name: source.spec for name, source in {**tables.start, **tables.tasks[place]["own"]}.items()}


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
