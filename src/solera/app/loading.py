"""load and save: the small doors of the Python face."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from solera.checkpoints import index_json, layout, open_checkpoint, open_for_writing
from solera.checkpoints.contract import Checkpoint
from solera.checkpoints.reader import FileReader
from solera.errors import TargetInUse
from solera.types import ModelRef

if TYPE_CHECKING:
    from solera.checkpoints.shards import ShardLayout


def load(model: str | Path | ModelRef) -> Checkpoint:
    """Open a model as a lazy table of tensors: folder, file, Hub id, ``model+adapter``. Nothing but headers is read."""
    return open_checkpoint(model)


def save(checkpoint: Checkpoint, out: str | Path, *, shard_bytes: int = 5_000_000_000) -> Path:
    """Write a checkpoint's tensors (views applied) as safetensors into a new folder; one tensor in memory at a time.

    Raises:
        TargetInUse: `out` is not empty.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise TargetInUse("the target is not empty.", where=folder, fix="choose a new or empty folder")
    shards = layout(checkpoint.specs, shard_bytes)
    for shard in shards:
        _write(checkpoint, folder, shard)
    if len(shards) > 1:
        (folder / "model.safetensors.index.json").write_bytes(index_json(shards))
    return folder


def _write(checkpoint: Checkpoint, folder: Path, shard: ShardLayout) -> None:
    from solera.checkpoints.writer import tensor_bytes

    reader = FileReader()
    with open_for_writing(folder / shard.file, shard.size) as file:
        file.write(0, shard.header)
        for name, offset in shard.offsets.items():
            source = checkpoint.table[name]
            file.write(offset, tensor_bytes(source.read(reader, 0, source.spec.numel)))
