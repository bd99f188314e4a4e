"""Where sketches lie as files: in a folder of the user's choice or in the cache, and while they are being made."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from solera.checkpoints.sketch import LeafSketch, Sketch, SketchKey, pack, read_key, unpack
from solera.checkpoints.strict_json import read_limited
from solera.errors import CorruptFile, NotFound, SoleraError
from solera.folders import user_cache

ENDING = ".sketch"
_LIMIT = 4 << 30
_HEAD = 1 << 26


def cache_folder() -> Path:
    """The folder of all sketches in the user's cache: ``$SOLERA_CACHE/sketches``, else ``~/.cache/solera/sketches``."""
    return user_cache() / "sketches"


def file_for(place: Path, key: SketchKey, model: str) -> Path:
    """The file of a sketch below `place` (or `place` itself, where it is named like a sketch).

    Example:
        >>> file_for(Path("s"), SketchKey("a", "b", "BF16"), "org/math").name.startswith("math-")
        True
    """
    if place.name.endswith(ENDING):
        return place
    plain = "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(model).name)[:80]
    return place / f"{plain}-{key.name}{ENDING}"


def read_sketch(path: Path) -> Sketch:
    """Read a file.

    Raises:
        NotFound: there is none. CorruptFile: it is no sketch.
    """
    if not path.is_file():
        raise NotFound("There is no such sketch.", where=path, fix="solera analyze MODEL --base BASE")
    return unpack(read_limited(path, _LIMIT, what="The sketch"), where=str(path))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a packed sketch, under another name that is exchanged at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f"{path.name}.{os.getpid()}.new")
    staged.write_bytes(content)
    staged.replace(path)


def listed(places: Sequence[Path]) -> Iterator[tuple[Path, SketchKey, str, str]]:
    """(file, key, model, base) of every sketch in files and folders; what cannot be read is passed over in folders."""
    for place in places:
        for path in sorted(place.glob(f"*{ENDING}")) if place.is_dir() else [place]:
            try:
                yield path, *read_key(_beginning(path), where=str(path))
            except FileNotFoundError:
                raise NotFound("There is no such sketch.", where=path, fix="solera analyze MODEL --base BASE") from None
            except (SoleraError, OSError):
                if not place.is_dir():
                    raise


def _beginning(path: Path) -> bytes:
    """The header of a file, at most `_HEAD` bytes of it."""
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise CorruptFile("This is no sketch that can be used.", where=path, got="a file of a few bytes")
        return prefix + file.read(min(_HEAD, struct.unpack("<Q", prefix)[0]))


def part_file(path: Path) -> Path:
    """Where the leaves of a sketch wait while it is being made."""
    return path.with_name(path.name + ".part")


def append_leaf(path: Path, sketch: Sketch, leaf: LeafSketch) -> None:
    """Add a finished leaf to the waiting ones; `sketch` says of what it is."""
    data = pack(Sketch(sketch.key, sketch.model, sketch.base, sketch.block, {leaf.leaf: leaf}))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(struct.pack("<Q", len(data)) + data)


def waiting_leaves(path: Path, key: SketchKey, block: int) -> dict[str, LeafSketch]:
    """The leaves that wait, of this very model and base; a torn end is cut off, anything else thrown away."""
    found: dict[str, LeafSketch] = {}
    try:
        data = path.read_bytes()
    except OSError:
        return found
    at = 0
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        if at + 8 + length > len(data):
            break
        try:
            one = unpack(data[at + 8 : at + 8 + length], where=str(path))
        except SoleraError:
            break
        if one.key != key or one.block != block:
            at, found = 0, {}
            break
        found |= one.leaves
        at += 8 + length
    os.truncate(path, at)
    return found
