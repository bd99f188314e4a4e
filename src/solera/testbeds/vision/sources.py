"""Where the images of vision-8 come from: digits, Fashion-MNIST, or any folder of IDX files; by name, or by digest."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solera.errors import NotFound, UnknownName, nearest
from solera.testbeds.vision import idx, images

FASHION_PATH = "SOLERA_FASHION_MNIST"
"""Environment variable that names the folder of Fashion-MNIST's four files."""
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts them."""
DIGITS, FASHION = "digits", "fashion"
_BY_DIGEST = re.compile(r"idx-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Source:
    """Images by the name that a testbed made of them has.

    Attributes:
        name: ``digits``, ``fashion``, or ``idx-`` and the first twelve digits of a folder's digest.
        folder: where they are, if that is known by now.
    """

    name: str
    folder: Path | None = None


def named(text: str) -> Source:
    """The source that a user means: a name, or the path of a folder, which is read for its digest.

    Raises:
        UnknownName: no such name or folder. NotFound, CorruptFile: see `idx.read`.

    Example:
        >>> named("fashion").name, named("idx-0123456789ab").name
        ('fashion', 'idx-0123456789ab')
    """
    if text in (DIGITS, FASHION) or _BY_DIGEST.fullmatch(text):
        return Source(text)
    folder = Path(text).expanduser()
    if not text or not (folder.is_dir() or os.sep in text):
        fix = f"{nearest(text[:80], (DIGITS, FASHION))}; or the path of a folder of IDX files"
        raise UnknownName("no such images.", got=text[:80], fix=fix)
    return Source(f"idx-{idx.digest(idx.read(folder))[:12]}", folder.absolute())


def located(source: Source) -> Path | None:
    """The folder to read; None for digits, which come with scikit-learn.

    Raises:
        NotFound: it is not known, or Fashion-MNIST is not there.
    """
    if source.name == DIGITS:
        return None
    if source.name == FASHION:
        return _fashion()
    if source.folder is None:
        fix = "name the folder: solera testbed build vision-8 --images FOLDER"
        raise NotFound("the images of this testbed are known by digest only.", got=source.name, fix=fix)
    return source.folder


def _fashion() -> Path:
    said = os.environ.get(FASHION_PATH)
    folder = Path(said).expanduser() if said else DEBIAN
    if not folder.is_dir():
        where = f"{folder} ({FASHION_PATH} says so)" if said else folder
        fix = f"install Debian's dataset-fashion-mnist, or set {FASHION_PATH} to the folder of its four files"
        raise NotFound("Fashion-MNIST is not there.", where=where, fix=fix)
    return folder.absolute()


def asked(source: Source) -> dict[str, Any]:
    """What a stage is told of a source, as plain data: name, folder, and the digest of what is in it now.

    Raises:
        NotFound, CorruptFile: see `located` and `idx.read`.
    """
    folder = located(source)
    digest = None if folder is None else idx.digest(idx.read(folder))
    return {"name": source.name, "folder": None if folder is None else str(folder), "digest": digest}


def opened(folder: str | None) -> images.Images:
    """The images of a folder; the digits where there is none.

    The digits lie on their side, rows and columns changed places: all testbeds of this version are built of them so.
    What is compared on them is not touched by it.

    Raises:
        NotFound, CorruptFile: see `idx.read`.
    """
    if folder is not None:
        return idx.read(Path(folder))
    upright = images.digits()
    return images.Images(upright.pixels.swapaxes(1, 2), upright.classes)
