"""Which files of a model folder hold its weights, which go along, and which are left where they are.

Works on names alone, so that the same rules serve a folder and a listing of the Hub.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from solera.errors import CheckpointError, NotFound

_SHARD = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors$")
_WEIGHTS = frozenset(
    [
        ".safetensors",
        ".bin",
        ".pt",
        ".pth",
        ".ckpt",
        ".gguf",
        ".h5",
        ".msgpack",
        ".onnx",
        ".onnx_data",
        ".ot",
        ".tflite",
        ".npz",
    ]
)
_NOT_A_MODEL = re.compile(r"^(adapter_|training_args|optimizer|scheduler|rng_state|random_states|consolidated|tekken)")
_TRAINING = re.compile(r"^(checkpoint-\d+|runs|logs|wandb|original|onnx|openvino|coreml|metal)$")


@dataclass(frozen=True, slots=True)
class Selection:
    """The weight files of a model.

    `index` names the JSON that maps tensors to `files`; None when the files speak for themselves.
    """

    kind: Literal["safetensors", "torch"]
    files: tuple[str, ...] = ()
    index: str | None = None
    note: str = ""


def choose_weights(names: Collection[str], *, where: str) -> Selection:
    """Choose the weights among the file names of one folder, safetensors before pickles, as transformers does.

    Raises:
        NotFound: no weights, or several candidates. CheckpointError: only a format that is not read (GGUF).

    Example:
        >>> choose_weights(["config.json", "model.safetensors"], where="m").files
        ('model.safetensors',)
    """
    here = sorted(name for name in names if "/" not in name)
    found = _choose_safetensors(here) or _choose_torch(here)
    if found is None:
        raise _no_weights(here, where)
    return found


def _choose_safetensors(here: list[str]) -> Selection | None:
    indexes = [name for name in here if name.endswith(".safetensors.index.json")]
    if "model.safetensors" in here:
        note = "both model.safetensors and an index are present: the single file is read" if indexes else ""
        return Selection("safetensors", ("model.safetensors",), note=note)
    if "model.safetensors.index.json" in indexes or len(indexes) == 1:
        return Selection("safetensors", index="model.safetensors.index.json" if len(indexes) > 1 else indexes[0])
    files = [name for name in here if name.endswith(".safetensors") and not _NOT_A_MODEL.match(name)]
    if len(files) == 1 and not _SHARD.match(files[0]):
        return Selection("safetensors", (files[0],))
    if files and _is_complete(files):
        return Selection("safetensors", tuple(files), note="the shards have no index; all of them are read")
    return None


def _is_complete(files: list[str]) -> bool:
    parts = [_SHARD.match(name) for name in files]
    kinds = {(part["stem"], part["count"]) for part in parts if part}
    return all(parts) and len(kinds) == 1 and len(files) == int(next(iter(kinds))[1])


def _choose_torch(here: list[str]) -> Selection | None:
    if "pytorch_model.bin" in here:
        return Selection("torch", ("pytorch_model.bin",))
    if "pytorch_model.bin.index.json" in here:
        return Selection("torch", index="pytorch_model.bin.index.json")
    suffixes = (".bin", ".pt", ".pth")
    files = [name for name in here if name.endswith(suffixes) and not _NOT_A_MODEL.match(name)]
    return Selection("torch", (files[0],)) if len(files) == 1 else None


def _no_weights(here: list[str], where: str) -> CheckpointError:
    if any(name.startswith("adapter_model.") for name in here):
        return NotFound("This is an adapter, not a model.", where=where, fix="name its base model first: base+adapter")
    if any(name.endswith(".gguf") for name in here):
        return refuse_gguf(where)
    if "pack.json" in here:
        fix = "see `solera pack inspect`, or take one task out of it with `solera pack unpack PACK TASK -o OUT`"
        return NotFound("This is a pack of several models, not one model.", where=where, fix=fix)
    candidates = [name for name in here if is_weights(name)]
    return NotFound(
        "No weights were found." if not candidates else "It is not clear which of these files is the model.",
        where=where,
        got=", ".join(candidates[:6]) or "no weight files",
        want="model.safetensors, sharded safetensors with their index, or pytorch_model.bin",
        fix="name the weight file itself" if candidates else "",
    )


def refuse_gguf(where: str) -> CheckpointError:
    """The error for GGUF files: quantised for llama.cpp, not merged here."""
    return CheckpointError(
        "GGUF files are not read.",
        where=where,
        got="GGUF (quantised for llama.cpp)",
        want="safetensors",
        fix="use the original model that the GGUF was made from, and convert the merge afterwards",
    )


def is_weights(name: str) -> bool:
    """Whether a file is some framework's weights (or a training state), judged by its name.

    Example:
        >>> is_weights("optimizer.pt"), is_weights("tokenizer.json")
        (True, False)
    """
    return PurePosixPath(name).suffix in _WEIGHTS or name.endswith((".safetensors.index.json", ".bin.index.json"))


def is_side_file(name: str) -> bool:
    """Whether a file goes along with the weights: tokenizer, processor, code, card.

    Example:
        >>> [is_side_file(name) for name in ("1_Pooling/config.json", "checkpoint-20/config.json", "config.json")]
        [True, False, False]
    """
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith((".", "__")) for part in parts)
    return not (hidden or is_weights(name) or name == "config.json" or _TRAINING.match(parts[0]) or len(parts) > 3)
