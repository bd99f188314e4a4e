"""Where the tensors of a model lie in its files: one table, shared by all models whose files have the same headers.

Twenty fine-tunes of one model differ in bytes, not in layout. Their tables are views of one `Layout`, so opening the
twentieth costs what reading its headers costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from solera.checkpoints.contract import Source
from solera.checkpoints.ranges import FileRange
from solera.types import TensorSpec


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Ranges in the files of the first model that had this layout, in order, and their specs.

    `files` are that model's files, in the order in which any other model lists its own.
    """

    places: Mapping[str, FileRange] = field(repr=False)
    files: tuple[str, ...]
    specs: Mapping[str, TensorSpec] = field(repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class FileTable(Mapping[str, Source]):
    """A model's tensors by name: a layout, and the files it is laid out in. Sources are made when asked for."""

    layout: Layout
    files: tuple[str, ...]

    def __getitem__(self, name: str) -> FileRange:
        """Where the tensor `name` lies; KeyError where there is none."""
        place = self.layout.places[name]
        if self.files is self.layout.files:
            return place
        return FileRange(self.files[self.layout.files.index(place.path)], place.offset, place.spec)

    def __iter__(self) -> Iterator[str]:
        """Names in file order."""
        return iter(self.layout.places)

    def __len__(self) -> int:
        """Number of tensors."""
        return len(self.layout.places)

    def __contains__(self, name: object) -> bool:
        """Whether there is a tensor of that name."""
        return name in self.layout.places

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Type and shape by name; one mapping for all models of the layout."""
        return self.layout.specs

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return _bytes_of(self.layout)


@lru_cache(maxsize=8)
def _bytes_of(layout: Layout) -> int:
    """Summed once for all models of a layout."""
    return sum(spec.nbytes for spec in layout.specs.values())


def laid_out(places: Mapping[str, FileRange], files: Sequence[str]) -> FileTable:
    """The table of the first model with a layout.

    Example:
        >>> from solera.types import DType
        >>> table = laid_out({"w": FileRange("a", 8, TensorSpec(DType.F32, (2,)))}, ["a"])
        >>> moved(table, ["b"])["w"].path, moved(table, ["b"]).specs is table.specs
        ('b', True)
    """
    files = tuple(files)
    return FileTable(Layout(places, files, {name: place.spec for name, place in places.items()}), files)


def moved(table: FileTable, files: Sequence[str]) -> FileTable:
    """The table of another model with the same layout, in its own files."""
    files = tuple(files)
    return table if files == table.files else replace(table, files=files)
