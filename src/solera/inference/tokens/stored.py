"""A file of page embeddings with fewer vectors for each page: streamed, page after page."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from solera.checkpoints.contract import ByteReader, Source
from solera.checkpoints.header import Header
from solera.checkpoints.reader import FileReader
from solera.checkpoints.safetensors_file import read_header
from solera.checkpoints.statistics import write_tensors
from solera.errors import BadParameter, NonFinite, NotFound, RunError, TargetInUse
from solera.inference.tokens.pooling import Pooler, pooled_count, pooler
from solera.types import DType, TensorSpec


@dataclass(frozen=True, slots=True)
class PooledFile:
    """What was done: pages, their vectors before and after, bytes of both files."""

    path: Path
    way: str
    factor: int
    pages: int
    before: int
    after: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, slots=True, eq=False)
class _PooledPage:
    """A page that is pooled when it is read."""

    page: Source
    factor: int
    way: Pooler
    name: str

    @property
    def spec(self) -> TensorSpec:
        vectors, channels = self.page.spec.shape
        return TensorSpec(self.page.spec.dtype, (pooled_count(vectors, self.factor), channels))

    @property
    def natural(self) -> DType:
        return self.spec.dtype

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        whole = self.page.read(reader, 0, self.page.spec.numel).reshape(self.page.spec.shape)
        if not bool(whole.to(torch.float32).isfinite().all()):
            raise NonFinite("The page holds NaN or infinity.", where=self.name)
        return self.way(whole, self.factor).reshape(-1)[start:stop]

    def cost_bytes(self, start: int, stop: int) -> int:
        return self.page.cost_bytes(start, stop)


def pool_file(source: str | Path, target: str | Path, factor: int, *, way: str = "rows") -> PooledFile:
    """Pool every page of a safetensors file and write the same names to another file.

    Args:
        source: each tensor is one page: (vectors, channels), of unit norm.
        target: must not exist.
        factor: merging factor.
        way: rows or ward clustering, sequence (1-D), random pruning.

    Raises:
        NotFound: there is no such file. TargetInUse: the target exists. BadParameter: the factor is below 1, a tensor
            is no page. UnknownName: no such way. CheckpointError: the file is broken. NonFinite: a page holds NaN.
        NoSpace, RunError: the target cannot be written; it is then as it was.

    Cost: one page in memory at a time, and its tree.

    Example:
        >>> import tempfile, torch
        >>> from safetensors.torch import save_file
        >>> folder = Path(tempfile.mkdtemp())
        >>> save_file({"page 1": torch.eye(8)}, folder / "pages.safetensors")
        >>> done = pool_file(folder / "pages.safetensors", folder / "pooled.safetensors", 4)
        >>> done.before, done.after
        (8, 2)
    """
    source, target, chosen = Path(source), Path(target), pooler(way)
    if not source.is_file():
        raise NotFound("There is no such file of embeddings.", where=source)
    if target.exists():
        raise TargetInUse("The target exists.", where=target, fix="name another, or remove it")
    with FileReader() as reader:
        header = read_header(str(source), reader)
    pages = {name: _PooledPage(_page(name, header), factor, chosen, name) for name in header.tensors}
    before, after = _vectors(header.tensors), _vectors(pages)
    _write(target, pages, header)
    sizes = source.stat().st_size, target.stat().st_size
    return PooledFile(target, way, factor, len(pages), before, after, *sizes)


def _page(name: str, header: Header) -> Source:
    source = header.tensors[name]
    shape = source.spec.shape
    if len(shape) != 2 or 0 in shape or not source.spec.dtype.is_float:
        got = f"{source.spec.dtype} {shape}"
        raise BadParameter("A tensor is no page of embeddings.", where=name, got=got, want="floats (vectors, channels)")
    return source


def _vectors(table: Mapping[str, Source]) -> int:
    return sum(source.spec.shape[0] for source in table.values())


def _write(target: Path, pages: Mapping[str, Source], header: Header) -> None:
    """Under another name that is exchanged at the end, and goes where something goes wrong."""
    staged = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(staged, pages, header.metadata)
        staged.replace(target)
    except OSError as error:
        fix = "choose another folder, or check its permissions"
        raise RunError("The target cannot be written.", where=target, got=error.strerror, fix=fix) from None
    finally:
        with suppress(OSError):
            staged.unlink(missing_ok=True)
