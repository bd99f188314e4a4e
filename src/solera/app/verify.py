"""verify: are the tensors of a merged folder the bytes that its manifest recorded?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from solera.checkpoints import FileReader, open_checkpoint
from solera.checkpoints.contract import Checkpoint
from solera.checkpoints.identity import hasher
from solera.checkpoints.remote.address import as_address
from solera.errors import CorruptFile, NotFound
from solera.execute.announcing import announce_sources
from solera.reconcile import MANIFEST


def verify(model: str | Path) -> dict[str, Any]:
    """Read every tensor of a merged folder (or address) and compare it with the digests in its manifest.

    Returns:
        ``{"model", "tensors", "bytes", "damaged": [names], "missing": [names], "added": [names], "ok"}``.

    Cost: one read of the model.

    Raises:
        NotFound: the folder has no manifest. CorruptFile: the manifest is not readable.
    """
    address = as_address(model)
    checkpoint = open_checkpoint(address) if address else None
    folder = Path(model) if checkpoint is None else checkpoint.folder or Path()
    recorded = _recorded(folder / MANIFEST, address or str(model))
    checkpoint = checkpoint or open_checkpoint(folder)
    known = {name: checkpoint.table[name] for name in recorded if name in checkpoint.table}
    with FileReader() as reader:
        announce_sources(reader, ((source, 0, source.spec.numel) for source in known.values()))
        damaged = [name for name in known if not _same(checkpoint, name, recorded[name], reader)]
    missing = sorted(set(recorded) - set(checkpoint.table))
    added = sorted(set(checkpoint.table) - set(recorded))
    return {
        "model": address or str(folder),
        "tensors": len(recorded),
        "bytes": reader.bytes_read,
        "damaged": damaged,
        "missing": missing,
        "added": added,
        "ok": not (damaged or missing or added),
    }


def _recorded(path: Path, model: str) -> dict[str, list[tuple[int, str]]]:
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        if made.get("kind") == "pack":
            raise NotFound("This is a pack, not a merged model.", where=model, fix="solera pack verify")
        rows = made["tensors"]
        return {name: [(int(n), str(d)) for n, d in row["chunks"]] for name, row in rows.items()}
    except FileNotFoundError:
        raise NotFound(
            "the folder has no manifest.", where=model, want=MANIFEST, fix="verify folders made by `solera merge`"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        where = f"{model}/{MANIFEST}"
        raise CorruptFile("the manifest cannot be read.", where=where, got=error, fix="merge again") from None


def _same(checkpoint: Checkpoint, name: str, chunks: list[tuple[int, str]], reader: FileReader) -> bool:
    from solera.checkpoints.writer import tensor_bytes

    source = checkpoint.table[name]
    size, start = source.spec.dtype.itemsize, 0
    if sum(n for n, _ in chunks) != source.spec.nbytes:
        return False
    for nbytes, digest in chunks:
        data = tensor_bytes(source.read(reader, start, start + nbytes // size))
        if hasher().update(data).hexdigest() != digest:
            return False
        start += nbytes // size
    return True
