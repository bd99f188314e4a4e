"""Side files of a remote model: small, kept in the user's cache under the state that they were seen in."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from solera.checkpoints.folder import path_inside
from solera.checkpoints.remote.doors import Door, Entry
from solera.checkpoints.remote.listing import CONNECTIONS, whole
from solera.checkpoints.remote.patience import Patience
from solera.folders import user_cache


def cache_root() -> Path:
    """``$SOLERA_CACHE/remote``, else ``remote`` in the user's cache of Solera."""
    return user_cache() / "remote"


def snapshot(folder: str, door: Door, files: Mapping[str, Entry], patience: Patience) -> Path:
    """A local folder with these files of a remote one; fetched once for each state of them.

    Raises:
        SourceChanged: a file is another one by now. UnsafeFile: a name that leads out. CheckpointError: no access.
    """
    target = place_of(folder, files)
    if target.is_dir() and all(entry.pin for entry in files.values()):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    filling = Path(tempfile.mkdtemp(prefix=".filling-", dir=target.parent))
    try:
        _fill(filling, folder, door, files, patience)
        return _settle(filling, target)
    finally:
        shutil.rmtree(filling, ignore_errors=True)


def place_of(folder: str, files: Mapping[str, Entry]) -> Path:
    """Where a snapshot of these files lies, or would."""
    rows = sorted((name, entry.size, entry.pin) for name, entry in files.items())
    return cache_root() / hashlib.sha256(repr((folder, rows)).encode()).hexdigest()[:32]


def _fill(here: Path, folder: str, door: Door, files: Mapping[str, Entry], patience: Patience) -> None:
    def fetch(name: str) -> None:
        path = path_inside(here, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(whole(folder, door, name, files[name], patience))

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(fetch, files))


def _settle(filling: Path, target: Path) -> Path:
    """Give the filled folder its name; where another process was first, its folder holds the same."""
    filling.chmod(0o755)
    if target.is_dir():
        shutil.rmtree(target, ignore_errors=True)
    try:
        filling.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    return target
