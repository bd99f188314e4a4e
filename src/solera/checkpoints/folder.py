"""A model folder on disk: weights by name, config, side files; nothing outside the folder is touched."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from solera.checkpoints.contract import ByteReader, Limits, Source
from solera.checkpoints.file_table import FileTable, Layout, laid_out, moved
from solera.checkpoints.header import Header
from solera.checkpoints.identity import hasher
from solera.checkpoints.ranges import FileRange
from solera.checkpoints.safetensors_file import read_header
from solera.checkpoints.selection import Selection, is_side_file, refuse_gguf
from solera.checkpoints.strict_json import parse_object, read_limited, read_object
from solera.errors import CheckpointError, CorruptFile, MissingTensor, NotFound, UnsafeFile

_MAX_FILES = 20_000


def read_weights(
    folder: Path, selection: Selection, reader: ByteReader, limits: Limits
) -> tuple[Mapping[str, Source], dict[str, str], tuple[Header, ...]]:
    """Headers of all weight files of a folder: (table, consumed, headers)."""
    if selection.index is None:
        headers = tuple(read_file(path_inside(folder, name), reader, limits) for name in selection.files)
        return headers[0].tensors if len(headers) == 1 else join_headers(headers), {}, headers
    weight_map = read_index(folder, selection.index, limits)
    names = sorted(set(weight_map.values()))
    headers = tuple(read_file(_shard(folder, name, selection.index), reader, limits) for name in names)
    return (*indexed_once(dict(zip(names, headers, strict=True)), weight_map, selection.index), headers)


_RECENT: dict[tuple[Layout, ...], tuple[dict[str, str], FileTable, dict[str, str]]] = {}
_KEPT = 4


def indexed_once(
    headers: Mapping[str, Header], weight_map: dict[str, str], index: str
) -> tuple[Mapping[str, Source], dict[str, str]]:
    """The table that an index makes of its shards, taken from another model's where both say the same."""
    tables = [header.tensors for header in headers.values()]
    shards = [table for table in tables if isinstance(table, FileTable)]
    if len(shards) < len(tables):
        return _by_index(headers, weight_map, index)
    files, key = [header.path for header in headers.values()], tuple(table.layout for table in shards)
    known = _RECENT.get(key)
    if known is None or (known[0] is not weight_map and known[0] != weight_map):
        while len(_RECENT) >= _KEPT:
            _RECENT.pop(next(iter(_RECENT)), None)
        table, consumed = _by_index(headers, weight_map, index)
        places = {name: place for name, place in table.items() if isinstance(place, FileRange)}
        known = _RECENT[key] = weight_map, laid_out(places, files), consumed
    return moved(known[1], files), known[2]


def read_file(path: Path, reader: ByteReader, limits: Limits) -> Header:
    """Header of one weight file, by its suffix.

    Raises:
        CheckpointError: a format that is not read. CorruptFile, UnsafeFile: as the formats say.
    """
    if path.suffix == ".safetensors":
        return read_header(str(path), reader, limits)
    if path.suffix in (".bin", ".pt", ".pth"):
        from solera.checkpoints.torch_file import read_torch_header

        return read_torch_header(str(path), reader, limits)
    if path.suffix == ".gguf":
        raise refuse_gguf(str(path))
    raise CheckpointError("This kind of file is not read.", where=str(path), want=".safetensors, .bin, .pt or .pth")


def join_headers(headers: Iterable[Header]) -> dict[str, Source]:
    """One table from several files that must not name the same tensor."""
    table: dict[str, Source] = {}
    for header in headers:
        twice = next((name for name in header.tensors if name in table), None)
        if twice is not None:
            raise CorruptFile("A tensor is in two files.", where=f"{header.path}, tensor {twice}", fix="add an index")
        table.update(header.tensors)
    return table


def read_index(folder: Path, name: str, limits: Limits) -> dict[str, str]:
    """The weight map of an index: tensor name -> file name.

    Raises:
        CorruptFile: no map of strings to strings. UnsafeFile: a file name that leaves the folder.
    """
    path = path_inside(folder, name)
    text = read_limited(path, limits.json_bytes, what="The index")
    digest = hasher().update(text).digest()
    known = _MAPS.get(digest)
    if known is None:
        while len(_MAPS) >= _KEPT:
            _MAPS.pop(next(iter(_MAPS)), None)
        known = _MAPS[digest] = _weight_map(text, path)
    for file in set(known.values()):
        path_inside(folder, file)
    return known


_MAPS: dict[bytes, dict[str, str]] = {}
"""Weight maps by the digest of their index: fine-tunes of one model share theirs."""


def _weight_map(text: bytes, path: Path) -> dict[str, str]:
    weight_map = parse_object(text, where=str(path), what="The index").get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise CorruptFile("The index has no `weight_map` from tensor names to file names.", where=str(path))
    return weight_map


def path_inside(folder: Path, name: str) -> Path:
    """Path of file `name` of the folder, which must not lead out of it.

    Links may lead into the blobs of the same Hub cache entry, and nowhere else.

    Raises:
        UnsafeFile: absolute, with `..`, or a link out of the folder.
    """
    pure = PurePosixPath(name)
    plain = name and "\\" not in name and "\0" not in name and not pure.is_absolute() and ".." not in pure.parts
    path = folder / name
    if not plain or not stays_inside(folder, path):
        raise UnsafeFile(
            "A file name leads out of the model's folder.",
            where=str(folder),
            got=name[:200],
            want="a file in the folder",
            fix="put the file itself into the folder instead of a link",
        )
    return path


def stays_inside(folder: Path, path: Path) -> bool:
    """Whether `path`, links resolved, lies in the folder or in the blobs of the same Hub cache entry."""
    root = folder.resolve()
    blobs = [parent.parent / "blobs" for parent in root.parents if parent.name == "snapshots"]
    try:
        real = path.resolve()
    except (OSError, RuntimeError, ValueError):
        return False
    return any(real.is_relative_to(allowed) for allowed in (root, *blobs))


def read_config(folder: Path, limits: Limits) -> dict[str, Any]:
    """config.json of a folder, {} if there is none."""
    if not os.path.lexists(folder / "config.json"):
        return {}
    return read_object(path_inside(folder, "config.json"), limits.json_bytes, what="The config")


def list_side_files(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the files that go along with the weights, and notes on what was left out."""
    names = [name for name in list_files(folder) if is_side_file(name)]
    usable = {name for name in names if stays_inside(folder, folder / name) and (folder / name).is_file()}
    notes = tuple(f"{name} is a link out of the folder and was left out" for name in names if name not in usable)
    return tuple(name for name in names if name in usable), notes


def list_files(folder: Path) -> list[str]:
    """Relative names (with forward slashes) of all files under a folder; links to folders are not followed."""
    found: list[str] = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [(Path(root) / name).relative_to(folder).as_posix() for name in files]
        if len(found) > _MAX_FILES:
            raise UnsafeFile(
                "The folder has too many files to be a model.", where=str(folder), want=f"{_MAX_FILES} at most"
            )
    return sorted(found)


def _shard(folder: Path, name: str, index: str) -> Path:
    path = path_inside(folder, name)
    if not path.is_file():
        raise NotFound(
            "A shard that the index names is missing.",
            where=str(folder / index),
            got=name,
            fix="download the model again",
        )
    return path


def _by_index(
    headers: Mapping[str, Header], weight_map: Mapping[str, str], index: str
) -> tuple[dict[str, Source], dict[str, str]]:
    for tensor, file in weight_map.items():
        if tensor not in headers[file].tensors:
            raise MissingTensor(
                "A tensor that the index names is not in its file.",
                where=headers[file].path,
                got=tensor[:200],
                fix="download the model again",
            )
    table: dict[str, Source] = {}
    for file, header in headers.items():
        table.update({tensor: source for tensor, source in header.tensors.items() if weight_map.get(tensor) == file})
    unlisted = {tensor for header in headers.values() for tensor in header.tensors} - weight_map.keys()
    return table, dict.fromkeys(sorted(unlisted), f"not listed in {index}")
