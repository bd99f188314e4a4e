"""The manifest solera.json: what was made, from what, by which recipe, and what became of every tensor."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUMERICS = 1
"""The version of the arithmetic that results depend on."""
MANIFEST = "solera.json"


@dataclass(frozen=True, slots=True)
class InputModel:
    """A model that was read: its name in the recipe, the revision and the weak id of what was found there."""

    name: str
    weak_id: str
    revision: str | None = None
    role: str = "model"


@dataclass(frozen=True, slots=True)
class OutputTensorRow:
    """One written tensor: type, shape, what became of it (merged, copied, filled) and a digest of its bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    status: str
    digest: str = ""


def manifest(
    *,
    version: str,
    recipe_digest: str,
    plan_digest: str,
    result_digest: str,
    inputs: Sequence[InputModel],
    tensors: Sequence[OutputTensorRow],
    left_out: Sequence[tuple[str, str, str, str]] = (),
    files: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    seed: int = 0,
    dialect: str = "solera",
) -> dict[str, Any]:
    """Put the manifest together; plain JSON data, the same for every run of the same plan.

    Args:
        version: of Solera.
        recipe_digest: digest of the recipe's canonical form.
        plan_digest: digest of the plan.
        result_digest: digest over all output tensors.
        inputs: models that were read.
        tensors: tensors that were written, in file order.
        left_out: (model, tensor, what, why) for every input tensor that is in no output.
        files: name -> SHA-256 of the files beside the weights.
        notes: what was skipped, approximated, filled or copied.
        seed: the recipe's seed.
        dialect: the recipe's dialect.

    Example:
        >>> made = manifest(version="1", recipe_digest="r", plan_digest="p", result_digest="d", inputs=[],
        ...     tensors=[OutputTensorRow("w", "BF16", (2,), "merged")])
        >>> made["numerics"], made["counts"]
        (1, {'merged': 1})
    """
    return {
        "solera": version,
        "numerics": NUMERICS,
        "recipe": {"digest": recipe_digest, "dialect": dialect, "seed": seed},
        "plan": plan_digest,
        "result": result_digest,
        "inputs": [_input(i) for i in inputs],
        "counts": dict(Counter([*(t.status for t in tensors), *(row[2] for row in left_out)])),
        "tensors": {t.name: _tensor(t) for t in tensors},
        "left_out": [dict(zip(("model", "tensor", "what", "why"), row, strict=True)) for row in left_out],
        "files": dict(files or {}),
        "notes": list(notes),
    }


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files of a folder, by name.

    Example:
        >>> digests(Path(), [])
        {}
    """
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)}


def _input(model: InputModel) -> dict[str, Any]:
    revision = {"revision": model.revision} if model.revision else {}
    return {"model": model.name, **revision, "role": model.role, "weak_id": model.weak_id}


def _tensor(tensor: OutputTensorRow) -> dict[str, Any]:
    digest = {"digest": tensor.digest} if tensor.digest else {}
    return {"dtype": tensor.dtype, "shape": list(tensor.shape), "status": tensor.status, **digest}
