"""Folders of images in the IDX format, as MNIST and its successors are handed out: four files, gzip or plain."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from solera.checkpoints.identity import hasher
from solera.errors import CorruptFile, NotFound
from solera.testbeds.vision.images import CLASSES, Images

PARTS = ("train", "t10k")
_IMAGES, _LABELS = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"
_BYTES = 8
"""What the third byte of a file says of numbers that are bytes."""


def read(folder: Path) -> Images:
    """All images of a folder, those for training first, and what each shows.

    Args:
        folder: holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same of ``t10k``, each plain
            or as ``.gz``.

    Raises:
        NotFound: no such folder, or it lacks a file. CorruptFile: a file is not in the format, is cut off, or its
            images are no squares; images and labels differ in number; labels are not the classes 0 to 9.
    """
    if not folder.is_dir():
        raise NotFound("no such folder of images.", where=folder, fix="name the folder that holds the IDX files")
    pixels, classes = zip(*(_part(folder, part) for part in PARTS), strict=True)
    if len({images.shape[1:] for images in pixels}) > 1:
        sides = " and ".join(f"{images.shape[1]} x {images.shape[2]}" for images in pixels)
        raise CorruptFile("the images are not of one size.", where=folder, got=sides)
    found = Images(np.concatenate(pixels), np.concatenate(classes).astype(np.int64))
    _check(folder, found)
    return found


def digest(images: Images) -> str:
    """Digest of all images and labels in their order; how the files are packed does not matter.

    Example:
        >>> len(digest(Images(np.zeros((1, 2, 2), np.uint8), np.zeros(1, np.int64))))
        64
    """
    known = hasher().update(f"{images.pixels.shape}\n".encode())
    known.update(images.pixels.tobytes()).update(images.classes.astype("<i8").tobytes())
    return str(known.hexdigest())


def _part(folder: Path, part: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    files = _file(folder, _IMAGES.format(part)), _file(folder, _LABELS.format(part))
    pixels, labels = _array(files[0], 3), _array(files[1], 1)
    if len(pixels) != len(labels):
        got, want = f"{len(labels)} labels", f"{len(pixels)}, as there are images in {files[0].name}"
        raise CorruptFile("images and labels differ in number.", where=files[1], got=got, want=want)
    return pixels, labels


def _file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise NotFound("a file of images or labels is missing.", where=folder, want=f"{name}, or {name}.gz")


def _array(path: Path, axes: int) -> npt.NDArray[np.uint8]:
    """The numbers of one file: a magic number (0, 0, type, axes), the sizes, the bytes."""
    data = _unpacked(path)
    if data[:4] != bytes((0, 0, _BYTES, axes)):
        want = f"0000{_BYTES:02x}{axes:02x}: bytes along {axes} {'axes' if axes > 1 else 'axis'}"
        raise CorruptFile("the file is not in the IDX format.", where=path, got=f"magic {data[:4].hex()}", want=want)
    start = 4 + 4 * axes
    sizes = [int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4)]
    if len(data) != start + math.prod(sizes):
        got, want = f"{len(data)} bytes", f"{start + math.prod(sizes)}, as its head says"
        raise CorruptFile("the file is cut off, or too long.", where=path, got=got, want=want)
    return np.frombuffer(data, np.uint8, offset=start).reshape(sizes)


def _unpacked(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        got = f"{type(error).__name__}: {error}"
        raise CorruptFile("the file cannot be read.", where=path, got=got[:200], fix="fetch it again") from None


def _check(folder: Path, found: Images) -> None:
    count, height, width = found.pixels.shape
    if height != width or not found.pixels.size:
        raise CorruptFile("the images are no squares.", where=folder, got=f"{count} of {height} x {width}")
    if set(np.unique(found.classes).tolist()) != set(range(CLASSES)):
        got = ", ".join(map(str, np.unique(found.classes).tolist()[:20]))
        raise CorruptFile("the labels are not ten classes.", where=folder, got=got, want="each of 0 to 9")
