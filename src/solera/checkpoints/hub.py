"""Models of the Hugging Face Hub: what to download, how much that is, and clear words when it fails."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from glob import escape
from pathlib import Path
from typing import Any

from solera.checkpoints.selection import Selection, choose_weights, is_side_file
from solera.errors import CheckpointError, NotFound

_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")


def is_hub_id(text: str) -> bool:
    """Whether a text can be a Hub id (``org/name``).

    Example:
        >>> is_hub_id("org/name"), is_hub_id("./name"), is_hub_id("a/b/c")
        (True, False, False)
    """
    return bool(_ID.match(text)) and ".." not in text


def is_offline(offline: bool | None) -> bool:
    """What was asked for, else what the environment says (HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE)."""
    if offline is not None:
        return offline
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value.upper() in ("1", "ON", "YES", "TRUE") for value in values)


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the Hub: id, revision, folder inside the repository."""

    repo: str
    revision: str | None = None
    subfolder: str | None = None

    def __str__(self) -> str:
        """Short form ``org/name@revision``."""
        return self.repo + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True, slots=True)
class _Listing:
    """Commit of the revision, and bytes of every file of the repository."""

    commit: str | None
    sizes: Mapping[str, int]


class _Unreachable(Exception):
    """The Hub did not answer; caught in this module."""


def fetch(model: HubModel, *, offline: bool | None = None, cache_dir: str | Path | None = None) -> Path:
    """Folder of the model in the local cache, downloaded if need be (weights in one format, and side files).

    When the Hub cannot be reached, what the cache holds is used.

    Raises:
        NotFound: no such model or revision, or not in the cache while offline. CheckpointError: no access.
    """
    if is_offline(offline):
        return _cached(model, cache_dir, "working offline")
    try:
        names = wanted_files(_listing(model).sizes, model)
        return _snapshot(model, cache_dir, allow_patterns=[escape(name) for name in names])
    except _Unreachable as error:
        return _cached(model, cache_dir, str(error))


def download_size(model: HubModel, *, cache_dir: str | Path | None = None) -> int:
    """Bytes that `fetch` would download: the wanted files that are not in the cache yet; 0 when offline.

    Raises:
        NotFound, CheckpointError: as `fetch`.
    """
    from huggingface_hub import try_to_load_from_cache

    if is_offline(None):
        return 0
    try:
        listing = _listing(model)
    except _Unreachable:
        return 0
    return sum(
        listing.sizes[name]
        for name in wanted_files(listing.sizes, model)
        if not isinstance(try_to_load_from_cache(model.repo, name, cache_dir=cache_dir, revision=listing.commit), str)
    )


def wanted_files(names: Iterable[str], model: HubModel) -> list[str]:
    """Those of a repository's files that a merge needs: config, one format of weights, side files, adapters.

    Example:
        >>> wanted_files(["config.json", "model.safetensors", "pytorch_model.bin"], HubModel("org/name"))
        ['config.json', 'model.safetensors']
    """
    prefix = f"{model.subfolder.strip('/')}/" if model.subfolder else ""
    here = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    if "adapter_config.json" in here:
        return [prefix + name for name in here if name in _ADAPTER or is_side_file(name)]
    chosen = choose_weights(here, where=str(model))
    weights = {*chosen.files, chosen.index, "config.json"}
    shards = _shard_pattern(chosen)
    return [prefix + name for name in here if name in weights or is_side_file(name) or shards.fullmatch(name)]


def _shard_pattern(chosen: Selection) -> re.Pattern[str]:
    """Shards by the usual naming: the index itself is not read before the download."""
    stem = (chosen.index or "").split(".", 1)[0]
    suffix = "safetensors" if chosen.kind == "safetensors" else "bin"
    return re.compile(rf"{re.escape(stem)}-\d+-of-\d+\.{suffix}" if stem else r"(?!)")


def _listing(model: HubModel) -> _Listing:
    from huggingface_hub import HfApi

    info = _asking(model, lambda: HfApi().model_info(model.repo, revision=model.revision, files_metadata=True))
    return _Listing(info.sha, {file.rfilename: file.size or 0 for file in info.siblings or ()})


def _snapshot(model: HubModel, cache_dir: str | Path | None, **options: Any) -> Path:
    from huggingface_hub import snapshot_download

    ask = partial(snapshot_download, model.repo, revision=model.revision, cache_dir=cache_dir, **options)
    return Path(_asking(model, ask), model.subfolder or "")


def _cached(model: HubModel, cache_dir: str | Path | None, reason: str) -> Path:
    try:
        return _snapshot(model, cache_dir, local_files_only=True)
    except (_Unreachable, NotFound):
        raise NotFound(
            "The model is neither a local path nor in the local cache, and the Hub was not asked.",
            where=str(model), got=reason,
            fix=f"check the path, or download it while online: hf download {model.repo}",
        ) from None  # fmt: skip


def _asking(model: HubModel, ask: Callable[[], Any]) -> Any:
    """Run a call of huggingface_hub; its many errors become three."""
    from huggingface_hub import errors

    try:
        return ask()
    except errors.GatedRepoError:
        fix = f"accept its terms at https://huggingface.co/{model.repo}, then: hf auth login"
        raise CheckpointError("Access to this model is restricted.", where=str(model), fix=fix) from None
    except errors.RevisionNotFoundError:
        raise NotFound("The model has no such revision.", where=str(model), got=model.revision or "main") from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        fix = "check the spelling; for a private model: hf auth login; for a folder, give its path"
        raise NotFound("There is no such model, here or on the Hub.", where=str(model), fix=fix) from None
    except Exception as error:  # noqa: BLE001 - the transport's own errors differ between versions of the library
        raise _Unreachable(f"{type(error).__name__}: {error}".splitlines()[0][:200]) from None
