"""The files of a pack while it is made: laid out before the first byte, filled in any order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from solera.app.pack_plan import Family, Parts, Specs, blocks
from solera.checkpoints.contract import ByteReader, Source
from solera.checkpoints.shards import ShardLayout, shard_layout
from solera.checkpoints.writer import PositionedFile, open_for_writing, tensor_bytes
from solera.errors import NonFinite
from solera.types import DType
from solera.version import __version__

BASE, SHARED = "base.safetensors", "shared.safetensors"
"""Where the base lies, and what all tasks share: the vector of masks, or the expert that a twin pack starts at."""


def task_file(task: str) -> str:
    """Name of the file of a task; no task can be called so that it is one of the others."""
    return f"task.{task}.safetensors"


@dataclass(frozen=True, slots=True)
class PartFile:
    """One safetensors file that is being filled."""

    file: PositionedFile
    layout: ShardLayout

    def write(self, name: str, value: Tensor, start: int = 0) -> None:
        """Round a tensor, or a block of it that begins at element `start`, and put it in its place.

        Raises:
            NonFinite: a value does not fit the type. NoSpace, RunError: the disk refuses.
        """
        dtype = self.layout.specs[name].dtype
        rounded = value.to(getattr(torch, dtype.torch_name))
        if dtype is DType.F16 and not bool(torch.isfinite(rounded).all()):
            fix = "use --dtype bfloat16 or float32"
            raise NonFinite(f"{name} does not fit float16.", got="a magnitude above 65504", fix=fix)
        self.file.write(self.layout.offsets[name] + start * dtype.itemsize, tensor_bytes(rounded.contiguous()))

    def copy(self, name: str, source: Source, reader: ByteReader) -> None:
        """Copy a tensor block by block, in its own type."""
        for start, stop in blocks(source.spec.numel):
            data = tensor_bytes(source.read(reader, start, stop))
            self.file.write(self.layout.offsets[name] + start * source.spec.dtype.itemsize, data)


@contextmanager
def part_file(folder: Path, name: str, specs: Specs) -> Iterator[PartFile]:
    """Lay a file out and open it, header written."""
    layout = shard_layout(name, specs, {"format": "pt", "solera": __version__})
    with open_for_writing(folder / name, layout.size) as file:
        file.write(0, layout.header)
        yield PartFile(file, layout)


def task_files(opened: ExitStack, folder: Path, family: Family, parts: Parts) -> list[PartFile]:
    """Open the files of all tasks, until `opened` closes."""
    pairs = zip(family.names, parts.tasks, strict=True)
    return [opened.enter_context(part_file(folder, task_file(name), specs)) for name, specs in pairs]


def copy_own(tasks: Sequence[PartFile], family: Family, own: Sequence[str], reader: ByteReader) -> None:
    """Copy the tensors that every task keeps whole into the tasks' files."""
    for expert, task in zip(family.experts, tasks, strict=True):
        for name in own:
            task.copy(f"own/{name}", expert.table[name], reader)


def copy_tensors(folder: Path, name: str, table: Mapping[str, Source], reader: ByteReader) -> None:
    """Write a whole model as one file, each tensor as it is."""
    with part_file(folder, name, {tensor: source.spec for tensor, source in table.items()}) as file:
        for tensor, source in table.items():
            file.copy(tensor, source, reader)
