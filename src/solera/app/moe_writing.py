"""Writing a model whose experts are made anew: tensors part by part with their digests, then what stands beside."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solera.checkpoints import FileReader, index_json, layout, open_for_writing, tensor_bytes
from solera.checkpoints.contract import ByteReader, Checkpoint, Source
from solera.checkpoints.identity import CHUNK_BYTES, chunk_digest, hasher, join_chunks, join_tensors
from solera.checkpoints.shards import ShardLayout
from solera.checkpoints.views import Concat
from solera.errors import NonFinite
from solera.execute.artefacts import Artefact, write_artefacts
from solera.execute.staging import Staging, check_space, claimed, commit
from solera.reconcile import (
    CARD_FILE,
    MANIFEST,
    CardMethod,
    CardModel,
    InputModel,
    Licence,
    OutputTensorRow,
    digests,
    dumped,
    hub_id,
    licence_of,
    manifest,
    model_card,
    put_file,
    read_front_matter,
    reconcile_config,
    strictest,
)
from solera.reconcile import write_side_files as write_beside
from solera.types import DType, Event, TensorSpec
from solera.version import __version__

Listener = Callable[[Event], None]
SHARD_BYTES = 5_000_000_000
_LONG = ("groups", "statistics", "prompts")
"""Facts that the manifest holds, and the card does not."""
_BLOCK = 1 << 25
"""Elements that are read at once of a tensor that is copied."""


@dataclass(frozen=True, slots=True)
class Making:
    """What is written and how it came about.

    Attributes:
        view: the output. inputs: label -> model that was read. method: name on the card and in the manifest.
        about: one line for the card; paper: arXiv number. facts: for the manifest, under ``moe``.
        made: tensors that are not copied, by name -> status. artefacts: small named values to keep with the model.
    """

    view: Checkpoint
    inputs: Mapping[str, Checkpoint]
    method: str
    about: str
    paper: str
    facts: Mapping[str, Any]
    made: Mapping[str, str]
    artefacts: tuple[Artefact, ...] = ()
    notes: tuple[str, ...] = ()
    dtype: DType | None = None


@dataclass(slots=True)
class _Hashes:
    """Of one tensor whose bytes come in pieces of any length: of all of them, and of the tree of fixed chunks."""

    whole: Any = field(default_factory=hasher)
    chunks: list[bytes] = field(default_factory=list)
    left: bytes = b""

    def update(self, data: memoryview) -> None:
        self.whole.update(data)
        start = min(CHUNK_BYTES - len(self.left), len(data)) if self.left else 0
        self.left += bytes(data[:start])
        while len(data) - start >= CHUNK_BYTES or len(self.left) == CHUNK_BYTES:
            piece = self.left or data[start : start + CHUNK_BYTES]
            start += 0 if self.left else CHUNK_BYTES
            self.chunks.append(chunk_digest(piece))
            self.left = b""
        self.left += bytes(data[start:])

    def tree(self, spec: TensorSpec) -> str:
        return join_chunks(spec, [*self.chunks, *([chunk_digest(self.left)] if self.left else [])])


@dataclass(slots=True)
class _Tally:
    rows: list[OutputTensorRow] = field(default_factory=list)
    chunks: dict[str, tuple[int, str]] = field(default_factory=dict)
    bytes: int = 0


def specs_of(making: Making) -> dict[str, TensorSpec]:
    """Name -> type and shape of every tensor of the output."""
    return {
        name: TensorSpec(_type(source, making.dtype), source.spec.shape) for name, source in making.view.table.items()
    }


def _type(source: Source, wanted: DType | None) -> DType:
    natural = source.natural
    return wanted if wanted is not None and natural.is_float else natural


def write_model(making: Making, out: Path, *, force: bool, listener: Listener) -> tuple[str, tuple[str, ...]]:
    """Write the folder, all at once or not at all; returns the digest of all tensors, and notes.

    Cost: one read of what goes into the output. Memory: one expert's matrix of every member of a group, and blocks.

    Raises:
        SoleraError: see `solera.errors`; the target is then as it was before.
    """
    keep = [model.folder for model in making.inputs.values() if model.folder is not None]
    check_space(out, sum(spec.nbytes for spec in specs_of(making).values()))
    with FileReader() as reader, claimed(out, force=force, keep=keep) as staging:
        shutil.rmtree(staging.model, ignore_errors=True)
        staging.model.mkdir(parents=True, exist_ok=True)
        tally = _write_tensors(making, staging.model, reader, listener)
        digest = join_tensors({row.name: row.digest for row in tally.rows})
        notes = _write_beside(making, staging, tally, digest)
        commit(staging)
    return digest, notes


def _write_tensors(making: Making, folder: Path, reader: ByteReader, listener: Listener) -> _Tally:
    tally, specs = _Tally(), specs_of(making)
    shards = layout(specs, SHARD_BYTES)
    for shard in shards:
        _write_shard(making, folder, shard, reader, tally, lambda: _told(listener, tally, len(specs)))
    if len(shards) > 1:
        (folder / "model.safetensors.index.json").write_bytes(index_json(shards))
    return tally


def _told(listener: Listener, tally: _Tally, total: int) -> None:
    listener(Event("progress", "tensors", done=len(tally.rows), total=total, unit="tensors"))


def _write_shard(
    making: Making, folder: Path, shard: ShardLayout, reader: ByteReader, tally: _Tally, told: Callable[[], None]
) -> None:
    with open_for_writing(folder / shard.file, shard.size) as file:
        file.write(0, shard.header)
        for name, offset in shard.offsets.items():
            hashes, at, spec = _Hashes(), offset, shard.specs[name]
            for block in blocks(making.view.table[name], reader):
                data = tensor_bytes(_rounded(block, spec.dtype, name))
                hashes.update(data)
                file.write(at, data)
                at += len(data)
            tally.chunks[name] = (spec.nbytes, hashes.whole.hexdigest())
            status = making.made.get(name, "copied")
            tally.rows.append(OutputTensorRow(name, spec.dtype.value, spec.shape, status, hashes.tree(spec)))
            tally.bytes += spec.nbytes
            told()


def blocks(source: Source, reader: ByteReader) -> Iterator[Tensor]:
    """A tensor in the order of its elements: joined sources part by part, others in blocks."""
    if isinstance(source, Concat):
        for part in source.parts:
            yield from blocks(part, reader)
        return
    size = source.spec.numel
    step = _BLOCK if source.cost_bytes(0, min(size, _BLOCK)) < source.cost_bytes(0, size) else max(size, 1)
    for start in range(0, size, step):
        yield source.read(reader, start, min(start + step, size))


def _rounded(block: Tensor, dtype: DType, name: str) -> Tensor:
    wanted: torch.dtype = getattr(torch, dtype.torch_name)
    if block.dtype == wanted:
        return block
    rounded = block.to(wanted)
    if block.is_floating_point() and not bool(torch.isfinite(rounded).all()):
        raise NonFinite(f"{name} does not fit {dtype.torch_name}.", fix="write bfloat16 or float32 with --dtype")
    return rounded


def _write_beside(making: Making, staging: Staging, tally: _Tally, digest: str) -> tuple[str, ...]:
    view, folder = making.view, staging.model
    licence, said = strictest({name: licence_of(read_front_matter(m.folder)) for name, m in making.inputs.items()})
    notes = tuple(filter(None, (*making.notes, *view.notes, said)))
    config = reconcile_config(view.config, dtype=making.dtype, patch=view.config_patch) if view.config else {}
    card = _card(making, staging.target.name, licence, notes)
    side = write_beside(folder, view, config, texts={CARD_FILE: card})
    left = write_artefacts(folder, making.artefacts) if making.artefacts else ()
    _put_manifest(making, folder, tally, digest, digests(folder, [*side.names, *left]), (*notes, *side.notes))
    return (*notes, *side.notes)


def _card(making: Making, title: str, licence: Licence | None, notes: tuple[str, ...]) -> str:
    short = {key: value for key, value in making.facts.items() if key not in _LONG and value not in ({}, None)}
    recipe = "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in short.items())
    return model_card(
        title=title,
        recipe=f"method: {making.method}\n{recipe}",
        models=[CardModel(name, hub_id(m.ref.path), m.ref.revision) for name, m in making.inputs.items()],
        methods=[CardMethod(making.method, making.about, making.paper)],
        licence=licence,
        notes=notes,
        version=__version__,
    )


def _put_manifest(
    making: Making, folder: Path, tally: _Tally, digest: str, files: Mapping[str, str], notes: tuple[str, ...]
) -> None:
    plan = hashlib.sha256(json.dumps([making.method, making.facts], sort_keys=True).encode()).hexdigest()
    made = manifest(
        version=__version__, recipe_digest="", plan_digest=plan, result_digest=digest,
        inputs=[InputModel(name, m.weak_id, m.ref.revision) for name, m in making.inputs.items()],
        tensors=tally.rows, files=files, notes=notes,
    )  # fmt: skip
    for name, row in made["tensors"].items():
        row["chunks"] = [list(tally.chunks[name])]
    put_file(folder, MANIFEST, dumped({**made, "moe": {"method": making.method, **making.facts}}))


def sizes(sources: Sequence[Source], dtype: DType | None) -> int:
    """Bytes of sources as they are written."""
    return sum(source.spec.numel * _type(source, dtype).itemsize for source in sources)
