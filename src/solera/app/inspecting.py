"""inspect: what a model folder, file or Hub id holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from solera.arch import Leaf, identify
from solera.checkpoints import FileReader, Source, open_checkpoint
from solera.checkpoints.contract import Checkpoint
from solera.execute.announcing import announce_sources
from solera.types import ModelRef

BLOCK = 4_194_304
"""Elements read at a time."""


def inspect(model: str | Path | ModelRef, *, digests: bool = False) -> dict[str, Any]:
    """Describe a model: architecture, totals, and a row per tensor with its leaves' roles and layers.

    Args:
        model: folder, file, Hub id, address, ``model+adapter``.
        digests: also the BLAKE2b digest of every tensor's bytes as they would be written; reads the whole model.

    Returns:
        Plain data: ``model, architecture, known, tensors, parameters, bytes, dtypes, layers, roles, tied, table,
        consumed, files, notes, weak_id``.

    Raises:
        CheckpointError: the model cannot be used.

    Example:
        >>> import tempfile, pathlib, torch, safetensors.torch
        >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
        >>> safetensors.torch.save_file({"w": torch.ones(2, 3)}, path)
        >>> seen = inspect(path)
        >>> seen["parameters"], seen["dtypes"], seen["table"][0]["shape"]
        (6, {'F32': 1}, [2, 3])
    """
    checkpoint = open_checkpoint(model)
    architecture = identify(checkpoint.config, checkpoint.table)
    leaves = architecture.leaves(checkpoint.specs, checkpoint.config)
    specs = checkpoint.specs
    return {
        "model": str(checkpoint.ref),
        "architecture": architecture.name,
        "known": architecture.known,
        "tensors": len(specs),
        "parameters": sum(spec.numel for spec in specs.values()),
        "bytes": checkpoint.nbytes,
        "dtypes": dict(Counter(spec.dtype.value for spec in specs.values())),
        "layers": {stack.name or "layers": stack.count for stack in architecture.stacks(checkpoint.config, specs)},
        "roles": _by_role(leaves),
        "tied": architecture.tied(checkpoint.config),
        "table": _table(checkpoint, leaves, digests=digests),
        "consumed": dict(checkpoint.consumed),
        "files": list(checkpoint.side_files),
        "notes": [*checkpoint.notes, *architecture.notes],
        "weak_id": checkpoint.weak_id,
    }


def _by_role(leaves: Iterable[Leaf]) -> dict[str, dict[str, int]]:
    """Role -> how many leaves and parameters, the largest first."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for leaf in leaves:
        counts[leaf.role] += 1
        sizes[leaf.role] += math.prod(leaf.shape)
    return {role: {"leaves": counts[role], "parameters": size} for role, size in sizes.most_common()}


def _table(checkpoint: Checkpoint, leaves: Iterable[Leaf], *, digests: bool) -> list[dict[str, Any]]:
    held: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        held.setdefault(leaf.tensor, []).append(leaf)
    with FileReader() as reader:
        if digests:
            announce_sources(reader, ((source, 0, source.spec.numel) for source in checkpoint.table.values()))
        return [
            {
                "name": name,
                "dtype": source.spec.dtype.value,
                "shape": list(source.spec.shape),
                "bytes": source.spec.nbytes,
                **_place(held.get(name, [])),
                **({"digest": digest_of(source, reader)} if digests else {}),
            }
            for name, source in checkpoint.table.items()
        ]


def _place(leaves: list[Leaf]) -> Mapping[str, Any]:
    """Roles and layer of a tensor; a fused one has several roles."""
    roles = list(dict.fromkeys(leaf.role for leaf in leaves))
    return {"roles": roles, "layer": leaves[0].layer if leaves else None, "stack": leaves[0].stack if leaves else ""}


def digest_of(source: Source, reader: FileReader) -> str:
    """BLAKE3 of a tensor's bytes, as they would be written; a block at a time."""
    from solera.checkpoints.identity import hasher
    from solera.checkpoints.writer import tensor_bytes

    digest = hasher()
    for start in range(0, source.spec.numel, BLOCK):
        digest.update(tensor_bytes(source.read(reader, start, min(start + BLOCK, source.spec.numel))))
    return digest.hexdigest()
