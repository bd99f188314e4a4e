"""Where built testbeds are kept: one folder for each name, size, seed and version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from solera.errors import BadParameter, nearest
from solera.folders import user_cache
from solera.testbeds.contract import Size, Testbed
from solera.testbeds.homes import name_in

SIZES: tuple[Size, ...] = get_args(Size)
_FOLDER = re.compile(rf"(?P<name>[a-z0-9-]+)-(?P<size>{'|'.join(SIZES)})-(?P<seed>\d+)-v(?P<version>\d+)")

_STAGING = re.compile(r"\.(?P<of>.+)\.solera")
"""What `execute.staging` calls the folder that a build writes to."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A testbed in the cache, as its folder's name says; it is checked when it is opened."""

    name: str
    size: Size
    seed: int
    version: int
    folder: Path


def root(cache: Path | str | None = None) -> Path:
    """The folder of all testbeds: `cache`, else ``$SOLERA_CACHE/testbeds``, else ``~/.cache/solera/testbeds``.

    Example:
        >>> root("somewhere").name
        'somewhere'
    """
    if cache is not None:
        return Path(cache)
    return user_cache() / "testbeds"


def place(kind: Testbed, size: Size, seed: int, cache: Path | str | None = None) -> Path:
    """The folder of one testbed.

    Raises:
        BadParameter: no such size, or the seed is no whole number from 0.
    """
    name = kind.name.replace(":", "-")
    return root(cache) / f"{name}-{known_size(size)}-{known_seed(seed)}-v{kind.version}"


def known_size(size: str) -> Size:
    """The size, if there is such a one.

    Raises:
        BadParameter: there is none.

    Example:
        >>> known_size("tiny")
        'tiny'
    """
    for each in SIZES:
        if size == each:
            return each
    raise BadParameter("no such size.", got=str(size)[:80], fix=nearest(str(size)[:80], SIZES))


def known_seed(seed: int) -> int:
    """The seed, if it is one.

    Raises:
        BadParameter: not a whole number in [0, 2**31).

    Example:
        >>> known_seed(3)
        3
    """
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise BadParameter("the seed is not usable.", got=repr(seed)[:80], want="a whole number in [0, 2**31)")
    return seed


def stored(cache: Path | str | None = None) -> tuple[Stored, ...]:
    """All testbeds in the cache, finished ones only, by name; `manifest.standing` says whether they can be used.

    Example:
        >>> stored("/no/such/folder")
        ()
    """
    return tuple(_read(_folders(cache)))


def unfinished(cache: Path | str | None = None) -> tuple[Stored, ...]:
    """All testbeds that have a staging folder in the cache; `folder` is where each will be when it is finished.

    Example:
        >>> unfinished("/no/such/folder")
        ()
    """
    staging = [(path, _STAGING.fullmatch(path.name)) for path in _folders(cache)]
    return tuple(_read(path.with_name(found["of"]) for path, found in staging if found))


def _folders(cache: Path | str | None) -> list[Path]:
    folder = root(cache)
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _read(folders: Iterable[Path]) -> Iterator[Stored]:
    for folder in folders:
        if parts := _FOLDER.fullmatch(folder.name):
            name, size = name_in(parts["name"]), known_size(parts["size"])
            yield Stored(name, size, int(parts["seed"]), int(parts["version"]), folder)
