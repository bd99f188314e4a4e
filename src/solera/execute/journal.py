"""The run's journal: what is finished, so that a killed run goes on where it stopped.

One JSON line per finished chunk of output (where, how many bytes, digest) and per finished whole-model summary.
A torn last line is ignored. Values are plain data: reading a journal never runs code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

VERSION = 1
ChunkKey = tuple[int, int, int]
"""(output tensor, part, chunk), by position in the plan."""


@dataclass(frozen=True, slots=True)
class Past:
    """What an earlier run of the same plan left behind."""

    boot: str = ""
    chunks: Mapping[ChunkKey, tuple[str, int]] = field(default_factory=dict)
    summaries: Mapping[tuple[int, int], Any] = field(default_factory=dict)


class Journal:
    """Append-only record of a run; safe to write from several threads."""

    def __init__(self, path: Path, digest: str, *, fresh: bool) -> None:
        """Open the journal; a fresh one starts with the plan's digest."""
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if fresh else 0), 0o644)
        self._lock = Lock()
        if fresh:
            self._append({"solera": VERSION, "plan": digest, "boot": boot_id()})

    def chunk(self, key: ChunkKey, digest: str, nbytes: int) -> None:
        """Record a chunk that is written."""
        self._append({"c": list(key), "d": digest, "n": nbytes})

    def summary(self, stage: int, rounds: int, value: Any) -> None:
        """Record a finished whole-model summary (stage of the plan, rounds done)."""
        self._append({"s": [stage, rounds], "v": encode(value)})

    def sync(self) -> None:
        """Force the journal to the disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _append(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._fd, line) :]


def read_journal(path: Path, digest: str) -> Past | None:
    """What an earlier run finished; None when there is none, or it ran another plan or version."""
    try:
        lines = path.read_bytes().split(b"\n")
        head = json.loads(lines[0])
    except (OSError, ValueError):
        return None
    if not isinstance(head, dict) or head.get("solera") != VERSION or head.get("plan") != digest:
        return None
    chunks: dict[ChunkKey, tuple[str, int]] = {}
    summaries: dict[tuple[int, int], Any] = {}
    for line in lines[1:-1]:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # a torn line: that piece is simply done again
        if "c" in record:
            a, b, c = record["c"]
            chunks[(a, b, c)] = (record["d"], record["n"])
        elif "s" in record:
            summaries[(record["s"][0], record["s"][1])] = decode(record["v"])
    return Past(head.get("boot", ""), chunks, summaries)


def boot_id() -> str:
    """An id of the machine's current boot; written pages survive a killed process, but not a new boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def encode(value: Any) -> Any:
    """Plain summary values as JSON; floats survive exactly.

    Example:
        >>> decode(encode((1.5, {"a": [float("inf")]})))
        (1.5, {'a': [inf]})
    """
    if isinstance(value, tuple):
        return {"t": [encode(v) for v in value]}
    if isinstance(value, list):
        return [encode(v) for v in value]
    if isinstance(value, dict):
        return {"d": [[encode(k), encode(v)] for k, v in value.items()]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return _encode_tensor(value)


def _encode_tensor(value: Any) -> dict[str, Any]:
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().numpy()
        return {"torch": [str(array.dtype), list(array.shape), array.tobytes().hex()]}
    array = np.asarray(value)
    if array.dtype == object:
        raise TypeError(f"a summary must finish as plain data, not {type(value).__name__}")
    return {"numpy": [str(array.dtype), list(array.shape), array.tobytes().hex()]}


def decode(value: Any) -> Any:
    """The inverse of `encode`."""
    if isinstance(value, list):
        return [decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "t" in value:
        return tuple(decode(v) for v in value["t"])
    if "d" in value:
        return {decode(k): decode(v) for k, v in value["d"]}
    return _decode_tensor(value)


def _decode_tensor(value: Mapping[str, Any]) -> Any:
    import numpy as np
    import torch

    kind, (dtype, shape, text) = next(iter(value.items()))
    array = np.frombuffer(bytes.fromhex(text), dtype=np.dtype(dtype)).reshape(shape).copy()
    return torch.from_numpy(array) if kind == "torch" else array
