"""The manifest of a finished testbed: what it is, and the digest of every file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from solera.checkpoints.identity import digest_file, join_tensors
from solera.errors import CorruptFile
from solera.testbeds.cache import Stored
from solera.testbeds.contract import Built
from solera.testbeds.making import MADE, Made

MANIFEST = "testbed.json"
STAGES = ".stages"
_GROUPS = ("experts", "adapters", "extras")


def files_below(folder: Path) -> dict[str, str]:
    """Path below `folder` -> digest, of every file that belongs to the testbed (weights, configs, data)."""
    return {name: digest_file(folder / name) for name in sorted(_names(folder))}


def _names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (MANIFEST, MADE) and not name.startswith(f"{STAGES}/"):
            yield name


def seal(folder: Path, this: Stored, made: Made, built: Mapping[str, Any]) -> None:
    """Write the manifest of a finished testbed.

    Args:
        folder: holds the files.
        this: name, size, seed and version.
        made: the builder's last word.
        built: how it was built (time, versions); not part of the digest.
    """
    files = files_below(folder)
    groups = {group: dict(getattr(made, group)) for group in _GROUPS}
    manifest = {
        "name": this.name,
        "size": this.size,
        "seed": this.seed,
        "version": this.version,
        "digest": join_tensors(files),
        "base": made.base,
        **groups,
        "files": files,
        "facts": dict(made.facts),
        "built": dict(built),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")


def version_inside(folder: Path) -> tuple[Any, ...]:
    """Name, size, seed and version as the manifest in `folder` has them.

    Raises:
        CorruptFile: it cannot be read.
    """
    kept = _read(folder)
    return tuple(kept.get(key) for key in ("name", "size", "seed", "version"))


def standing(this: Stored, current: int) -> str:
    """Whether a testbed of the cache can be used, from its manifest and the names of its files: ``ready``, or why not.

    Args:
        this: what the folder's name says.
        current: version that is built now.

    Cost: files are not read; `unseal` does that.
    """
    want = (this.name, this.size, this.seed, this.version)
    try:
        inside = version_inside(this.folder)
        if inside != want:
            return f"not what its name says: holds {' '.join(map(str, inside))}"
        _, files = _opened(this.folder)
    except CorruptFile as error:
        return f"damaged: {error.fault.where}, {error.fault.got}"
    if gone := [name for name in files if not (this.folder / name).is_file()]:
        return f"damaged: {gone[0]} is missing"
    return "ready" if this.version == current else f"of version {this.version}; {current} is current"


def unseal(folder: Path) -> Built:
    """The testbed in `folder`, every file checked against its digest.

    Raises:
        CorruptFile: a file is damaged, missing or added, or the manifest is not one.
    """
    built, files = _opened(folder)
    _compare(folder, files, built)
    return built


def _opened(folder: Path) -> tuple[Built, dict[str, str]]:
    """What the manifest tells, and the digests of the files as it has them."""
    kept = _read(folder)
    try:
        groups: dict[str, Any] = {g: {str(k): _below(folder, v) for k, v in kept[g].items()} for g in _GROUPS}
        built = Built(
            **{key: kept[key] for key in ("name", "size", "seed", "digest", "facts")},
            **groups,
            folder=folder,
            base=_below(folder, kept["base"]),
        )
        files = {str(name): str(digest) for name, digest in kept["files"].items() if _below(folder, name)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _broken(folder, f"{type(error).__name__}: {error}") from None
    if join_tensors(files) != built.digest:
        raise _broken(folder, "a total digest that does not fit the files")
    return built, files


def _read(folder: Path) -> dict[str, Any]:
    try:
        kept = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(folder, f"{type(error).__name__}: {error}") from None
    if not isinstance(kept, dict):
        raise _broken(folder, type(kept).__name__)
    return kept


def _below(folder: Path, name: str) -> Path:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise ValueError(f"a path that leaves the folder: {name[:80]}")
    return folder / pure


def _compare(folder: Path, want: Mapping[str, str], built: Built) -> None:
    got = files_below(folder)
    for name in sorted({*want, *got}):
        if want.get(name) != got.get(name):
            raise CorruptFile(
                "a file of the testbed is not what was built.",
                where=folder / name,
                got=got.get(name, "no such file"),
                want=want.get(name, "no such file"),
                fix=_again(built.name, built.size, built.seed),
            )


def _again(name: str, size: str, seed: int) -> str:
    return f"build it anew: solera testbed build {name} --size {size} --seed {seed} --force"


def _broken(folder: Path, got: str) -> CorruptFile:
    return CorruptFile(
        "the testbed's manifest is not usable.",
        where=folder / MANIFEST,
        got=got[:200],
        fix="build it anew: solera testbed build ... --force",
    )
