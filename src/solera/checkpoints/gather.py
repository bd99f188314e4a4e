"""Rows gathered from several tensors: how an embedding is laid out for another vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from solera.checkpoints.contract import ByteReader, Source
from solera.checkpoints.ranges import torch_dtype
from solera.errors import ShapeMismatch
from solera.types import DType, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Integers = np.ndarray[Any, np.dtype[np.int64]]

_GAP_BYTES = 32_768  # reading over a gap of this size is cheaper than another read


@dataclass(frozen=True, slots=True, eq=False)
class GatherRows:
    """Each output row is the mean of rows of the sources, taken left to right in float32; or zero; or one row, copied.

    Attributes:
        sources: tensors of shape (rows, *rest), equal in rest.
        starts: entries of output row i are [starts[i], starts[i + 1]); the length is output rows + 1.
        which, row: for each entry, the source and the row in it. An output row without entries is zero.

    The type is the sources' own where all agree and no row is a mean; float32 otherwise.

    Example:
        >>> import torch
        >>> from solera.checkpoints.ranges import MemorySource
        >>> a, b = MemorySource(torch.tensor([[1.0], [2.0]])), MemorySource(torch.tensor([[5.0]]))
        >>> gather_rows([a, b], [[(0, 1)], [], [(0, 0), (1, 0)]]).read(None, 0, 3)
        tensor([2., 0., 3.])
    """

    sources: tuple[Source, ...]
    starts: Integers
    which: Integers
    row: Integers

    def __post_init__(self) -> None:
        """Check that sources agree in their rows and that every entry exists."""
        rests = {source.spec.shape[1:] for source in self.sources}
        if len(rests) != 1 or any(not source.spec.shape for source in self.sources):
            shapes = ", ".join(str(source.spec.shape) for source in self.sources)
            raise ShapeMismatch("Rows of different lengths cannot be gathered.", got=shapes)
        if not self._entries_exist():
            raise ShapeMismatch("A gathered row does not exist.", want=str([s.spec.shape for s in self.sources]))

    def _entries_exist(self) -> bool:
        import numpy as np

        heights = np.array([source.spec.shape[0] for source in self.sources])
        in_order = self.starts[0] == 0 and self.starts[-1] == len(self.which) == len(self.row)
        if not in_order or bool((np.diff(self.starts) < 0).any()):
            return False
        if len(self.which) and not 0 <= int(self.which.min()) <= int(self.which.max()) < len(heights):
            return False
        return bool(((self.row >= 0) & (self.row < heights[self.which])).all())

    @property
    def spec(self) -> TensorSpec:
        """One row for each entry list."""
        types = {source.spec.dtype for source in self.sources}
        copies = len(types) == 1 and int((self.starts[1:] - self.starts[:-1]).max(initial=0)) <= 1
        return TensorSpec(types.pop() if copies else DType.F32, (len(self.starts) - 1, *self.sources[0].spec.shape[1:]))

    @property
    def natural(self) -> DType:
        """As the first source."""
        return self.sources[0].natural

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """Whole output rows are made from the rows they need, each source read in few runs."""
        import torch

        spec, width = self.spec, self._width
        if stop <= start or not width:
            return torch.empty(0, dtype=torch_dtype(spec.dtype))
        first, last = start // width, -(-stop // width)
        out = torch.zeros((last - first, width), dtype=torch_dtype(spec.dtype))
        for nth, rows, entries in self._rounds(first, last):
            values = self._values(reader, entries, out.dtype)
            out[rows] = values if nth == 0 else out[rows] + values
        counts = torch.from_numpy(self.starts[first + 1 : last + 1] - self.starts[first:last])
        several = counts > 1
        if several.any():
            out[several] = out[several] / counts[several, None].to(torch.float32)
        return out.reshape(-1)[start - first * width : stop - first * width]

    def cost_bytes(self, start: int, stop: int) -> int:
        """Bytes of the runs that `read` takes."""
        if stop <= start or not self._width:
            return 0
        first, last = start // self._width, -(-stop // self._width)
        return sum(
            self.sources[source].cost_bytes(begin * self._width, end * self._width)
            for _, _, entries in self._rounds(first, last)
            for source, rows in self._by_source(entries)
            for begin, end in self._runs(source, rows)
        )

    @property
    def _width(self) -> int:
        return self.sources[0].spec.numel // max(1, self.sources[0].spec.shape[0])

    def _rounds(self, first: int, last: int) -> Iterator[tuple[int, Tensor, Integers]]:
        """For n = 0, 1, ...: the output rows (relative) that have an n-th entry, and that entry."""
        import numpy as np
        import torch

        counts = self.starts[first + 1 : last + 1] - self.starts[first:last]
        for nth in range(int(counts.max(initial=0))):
            rows = np.flatnonzero(counts > nth)
            yield nth, torch.from_numpy(rows), self.starts[first + rows] + nth

    def _by_source(self, entries: Integers) -> Iterator[tuple[int, Integers]]:
        import numpy as np

        for source in np.unique(self.which[entries]).tolist():
            yield source, np.unique(self.row[entries[self.which[entries] == source]])

    def _values(self, reader: ByteReader, entries: Integers, dtype: Any) -> Tensor:
        import numpy as np
        import torch

        out = torch.empty((len(entries), self._width), dtype=dtype)
        for source, rows in self._by_source(entries):
            mine = np.flatnonzero(self.which[entries] == source)
            wanted = np.searchsorted(rows, self.row[entries[mine]])
            out[torch.from_numpy(mine)] = self._rows(reader, source, rows, dtype)[torch.from_numpy(wanted)]
        return out

    def _rows(self, reader: ByteReader, source: int, rows: Integers, dtype: Any) -> Tensor:
        """The given rows (sorted, unique) of one source."""
        import torch

        width, pieces = self._width, []
        for begin, end in self._runs(source, rows):
            run = self.sources[source].read(reader, begin * width, end * width).reshape(end - begin, width)
            inside = rows[(rows >= begin) & (rows < end)] - begin
            pieces.append(run if len(inside) == len(run) else run[torch.from_numpy(inside)])
        return torch.cat(pieces).to(dtype)

    def _runs(self, source: int, rows: Integers) -> list[tuple[int, int]]:
        """Ranges [begin, end) of rows that cover `rows`, small gaps included."""
        import numpy as np

        gap = max(1, _GAP_BYTES // max(1, self._width * self.sources[source].spec.dtype.itemsize))
        cuts = np.flatnonzero(np.diff(rows) > gap) + 1
        begins, ends = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(rows)]]) - 1
        return list(zip(rows[begins].tolist(), (rows[ends] + 1).tolist(), strict=True))


def gather_rows(sources: Sequence[Source], rows: Sequence[Sequence[tuple[int, int]]]) -> GatherRows:
    """Build a `GatherRows` from one list of (source, row) for each output row."""
    import numpy as np

    entries = np.array([entry for row in rows for entry in row], dtype=np.int64).reshape(-1, 2)
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return GatherRows(tuple(sources), starts, entries[:, 0].copy(), entries[:, 1].copy())
