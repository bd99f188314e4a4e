"""Source images and their one split: every view, corruption and label rule is made from these, on its own side.

Images are kept as bytes in ``data/images.safetensors``, so that a built testbed needs no data set. `sources` has others
than the digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from solera.checkpoints.identity import hasher

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
Pixels = npt.NDArray[np.uint8]
CLASSES = 10
"""What images may show: 0 to 9, of any source. Tasks ask of these numbers, whatever they stand for."""
_FILES = "images.safetensors"


@dataclass(frozen=True, slots=True)
class Images:
    """Images (n, side, side) as bytes, and what each shows: a class in 0..9."""

    pixels: Pixels
    classes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.classes)

    def at(self, rows: npt.NDArray[np.int64]) -> Images:
        """Some of them."""
        return Images(self.pixels[rows], self.classes[rows])

    def digests(self) -> list[str]:
        """Digest of each image's bytes.

        Example:
            >>> len(digits().at(np.arange(3)).digests())
            3
        """
        return [str(hasher().update(image.tobytes()).hexdigest()) for image in self.pixels]


def digits() -> Images:
    """The 1,797 scikit-learn digits, 8 x 8, their 17 grey levels stretched over a byte.

    Example:
        >>> digits().pixels.shape
        (1797, 8, 8)
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    return Images(np.round(data.images * (255 / 16)).astype(np.uint8), data.target.astype(np.int64))


def enlarged(images: Images, side: int) -> Images:
    """The same images at another size, each pixel a block or part of one (nearest neighbour)."""
    rows = np.arange(side) * images.pixels.shape[1] // side
    return Images(images.pixels[:, rows][:, :, rows], images.classes)


def pooled(images: Images, side: int) -> Images:
    """The same images at another size: each pixel the mean of a block, with a black edge where one is needed.

    Images that are smaller than `side` are `enlarged`.

    Example:
        >>> whole = Images(np.full((1, 28, 28), 200, np.uint8), np.zeros(1, np.int64))
        >>> pooled(whole, 8).pixels[0, 0, :3]  # 28 pixels and an edge of 2 make 8 blocks of 4
        array([ 50, 100, 100], dtype=uint8)
    """
    old = images.pixels.shape[1]
    if old <= side:
        return images if old == side else enlarged(images, side)
    block = -(-old // side)
    before = (block * side - old) // 2
    edge = (before, block * side - old - before)
    blocks = np.pad(images.pixels, ((0, 0), edge, edge)).reshape(-1, side, block, side, block)
    sums = blocks.sum(axis=(2, 4), dtype=np.uint32)
    return Images(((sums + block * block // 2) // (block * block)).astype(np.uint8), images.classes)


def split(images: Images, seed: int, held_out: int, train: int | None = None) -> dict[Part, Images]:
    """Part the images, each picture in one part only: equal pictures are kept together by dropping the later ones.

    Args:
        images: the source.
        seed: of the order.
        held_out: images for test; for validation, half as many.
        train: at most so many for training.
    """
    digests = images.digests()
    first = np.array(sorted({d: i for i, d in reversed(list(enumerate(digests)))}.values()))
    order = np.random.Generator(np.random.PCG64([seed, 8])).permutation(first)
    test, validation, rest = np.split(order, [held_out, held_out + held_out // 2])
    return {"train": images.at(rest[:train]), "validation": images.at(validation), "test": images.at(test)}


def write(folder: Path, parts: dict[Part, Images]) -> None:
    """Keep all parts in one file of `folder`."""
    from safetensors.numpy import save_file

    # safetensors writes an array's memory as it lies, whatever its strides say.
    tensors = {f"{part}.pixels": np.ascontiguousarray(images.pixels) for part, images in parts.items()}
    save_file({**tensors, **{f"{part}.classes": images.classes for part, images in parts.items()}}, folder / _FILES)


def read(folder: Path, part: Part) -> Images:
    """One part, from ``data`` below the testbed's `folder`."""
    from safetensors import safe_open

    with safe_open(folder / "data" / _FILES, "np") as file:
        return Images(file.get_tensor(f"{part}.pixels"), file.get_tensor(f"{part}.classes"))
