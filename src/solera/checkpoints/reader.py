"""Reading byte ranges of files: many threads, no lock, every byte counted, changed files noticed.

Pinned addresses (`remote/address.py`) stand in the place of paths; they are read by `remote/reading.py`.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from solera.errors import CheckpointError, CorruptFile, NotFound, SourceChanged, UnsafeFile

if TYPE_CHECKING:
    import numpy as np

    from solera.checkpoints.mapped import View
    from solera.checkpoints.remote.reading import RemoteReader

_OPEN_FILES = 512
_STRIDE = 1 << 20  # systems read no more than about so much ahead at one word
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # a pipe in place of a file must not hang the run


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file looked like: device, inode, size in bytes, time of the last change in nanoseconds."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str) -> Stamp:
        """Look at `path` now.

        Raises:
            NotFound: no such file. UnsafeFile: not a regular file. CheckpointError: it cannot be looked at.
        """
        try:
            seen = os.stat(path)  # noqa: PTH116 - called for every read
        except (OSError, ValueError) as error:
            raise cannot_read(path, error) from None
        return cls.taken(seen, path)

    @classmethod
    def taken(cls, seen: os.stat_result, path: str) -> Stamp:
        """Stamp from a stat result; refuses what is not a regular file."""
        if not stat.S_ISREG(seen.st_mode):
            raise UnsafeFile("This is not a regular file.", where=path, want="a file on disk")
        return cls(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns)


class FileReader:
    """The `ByteReader` of files: `os.pread` on kept descriptors, safe to share between threads without a lock.

    Cost: one `stat` and one `pread` per call; at most 512 descriptors are kept, further files are opened per call.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp(), "four.bin")
        >>> path.write_bytes(bytes([1, 2, 3, 4]))
        4
        >>> with FileReader() as reader:
        ...     reader.pread(str(path), 1, 2).tolist(), reader.bytes_read
        ([2, 3], 2)
    """

    def __init__(self, *, open_files: int = _OPEN_FILES) -> None:
        """Keep at most `open_files` descriptors open."""
        self._open_files = open_files
        self._files: dict[str, tuple[int, Stamp]] = {}
        self._stamps: dict[str, Stamp] = {}
        self._counts: dict[int, int] = {}
        self._remote: RemoteReader | None = None
        self._making = threading.Lock()

    @property
    def bytes_read(self) -> int:
        """Bytes read so far, by all threads."""
        return sum(self._counts.copy().values()) + (self._remote.bytes_read if self._remote else 0)

    def announce(self, units: Iterable[Iterable[tuple[str, int, int]]], *, threads: int = 1) -> None:
        """Say which ranges (path, start, stop) `threads` workers will read, one unit of work after the other.

        Requests for remote objects then run ahead; files of this machine need no announcement.
        """
        if remote := [found for unit in units if (found := [row for row in unit if "://" in row[0]])]:
            self._reader_of_addresses().announce(remote, threads=threads)

    def exactly(self) -> None:
        """Read no byte of a remote object that is not asked for or announced: for runs whose bytes are counted."""
        self._reader_of_addresses().exactly()

    def expect(self, path: str, stamp: Stamp) -> None:
        """Take `stamp` as the first look at `path`; a file that differs from it is refused."""
        self._stamps[path] = stamp

    def size(self, path: str) -> int:
        """Size of `path` in bytes, as first seen."""
        return self._first_look(path).size

    def pread(
        self, path: str, offset: int, nbytes: int, out: np.ndarray[Any, np.dtype[np.uint8]] | None = None
    ) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return exactly `nbytes` bytes of `path` from `offset`: in `out`, if given, else in a fresh uint8 array.

        Raises:
            CorruptFile: the file ends early. SourceChanged: size, time or inode differ from the first look.
            NotFound, UnsafeFile, CheckpointError: the file cannot be opened or read.
        """
        import numpy as np

        if "://" in path:
            return self._reader_of_addresses().pread(path, offset, nbytes, out)
        out = np.empty(nbytes, dtype=np.uint8) if out is None else out
        self._read(path, [(offset, out.data)])
        return out

    def gather(self, path: str, offsets: Sequence[int], nbytes: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Ranges of `nbytes` bytes of a file of this machine, one after another: as `pread`, with one look at it."""
        import numpy as np

        out = np.empty((len(offsets), nbytes), dtype=np.uint8)
        self._read(path, [(offset, row.data) for offset, row in zip(offsets, out, strict=True)])
        return out.reshape(-1)

    def soon(self, path: str, offset: int, nbytes: int) -> None:
        """Have the system read bytes of a file of this machine from its disk, while other work goes on.

        Raises:
            NotFound, UnsafeFile, CheckpointError: as `pread`.
        """
        if "://" in path or not hasattr(os, "posix_fadvise"):
            return
        self._first_look(path)
        with self._opened(path) as descriptor, suppress(OSError):  # some file systems take no advice
            for at in range(offset, offset + nbytes, _STRIDE):
                os.posix_fadvise(descriptor, at, min(_STRIDE, offset + nbytes - at), os.POSIX_FADV_WILLNEED)

    def view(self, path: str) -> View | None:
        """A file of this machine where the system holds it, to be shown part by part; None where a copy must do.

        Ask whether it is `lost` once a part has been used.

        Raises:
            SourceChanged, NotFound, UnsafeFile, CheckpointError: as `pread`.
        """
        from solera.checkpoints import mapped

        if "://" in path:
            return None
        self._check_unchanged(path)
        with self._opened(path) as descriptor:
            return mapped.view(path, descriptor, self.size(path))

    def show(
        self, view: View, start: int, stop: int, keep: int = 0, until: int = 0
    ) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
        """Bytes [start, stop) of a file, without a copy, as `View.show`; None: read them.

        The file is looked at whenever bytes of it are brought.

        Raises:
            SourceChanged, NotFound, CheckpointError: as `pread`.
        """
        if not view.holds(start, stop):
            self._check_unchanged(view.path)
        shown = view.show(start, stop, keep, until)
        if shown is not None:
            self._count(stop - start)
        return shown

    def _read(self, path: str, parts: Sequence[tuple[int, memoryview]]) -> None:
        """Fill memory from offsets of a file that has not changed."""
        self._check_unchanged(path)
        descriptor, kept = self._descriptor(path)
        try:  # what `_opened` does, without its microsecond: a third of a small read
            for offset, memory in parts:
                _fill(descriptor, memory, offset, path)
        finally:
            if not kept:
                os.close(descriptor)
        self._count(sum(len(memory) for _, memory in parts))

    def _count(self, nbytes: int) -> None:
        thread = threading.get_ident()
        self._counts[thread] = self._counts.get(thread, 0) + nbytes  # each thread writes its own entry only

    def close(self) -> None:
        """Close the kept descriptors; the reader can be used again."""
        while self._files:
            _, (descriptor, _) = self._files.popitem()
            os.close(descriptor)
        if self._remote is not None:
            self._remote.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the kept descriptors."""
        self.close()

    def __del__(self) -> None:
        """Close what a forgotten reader still holds."""
        self.close()

    def _reader_of_addresses(self) -> RemoteReader:
        with self._making:
            if self._remote is None:
                from solera.checkpoints.remote.reading import RemoteReader

                self._remote = RemoteReader()
            return self._remote

    def _first_look(self, path: str) -> Stamp:
        seen = self._stamps.get(path)
        return seen if seen is not None else self._stamps.setdefault(path, Stamp.of(path))

    def _check_unchanged(self, path: str) -> None:
        first = self._first_look(path)
        try:
            now = Stamp.of(path)
        except NotFound:
            raise _changed(path, "the file is gone") from None
        if now != first:
            raise _changed(path, f"{now.size} bytes, {first.size} at the first look")

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        descriptor, kept = self._descriptor(path)
        try:
            yield descriptor
        finally:
            if not kept:
                os.close(descriptor)

    def _descriptor(self, path: str) -> tuple[int, bool]:
        kept = self._files.get(path)
        if kept is not None:
            return kept[0], True
        try:
            descriptor = os.open(path, _FLAGS)
        except (OSError, ValueError) as error:
            raise cannot_read(path, error) from None
        return self._keep(path, descriptor)

    def _keep(self, path: str, descriptor: int) -> tuple[int, bool]:
        stamp = Stamp.taken(os.fstat(descriptor), path)
        if stamp != self._stamps[path]:
            os.close(descriptor)
            raise _changed(path, "another file took its place")
        if len(self._files) >= self._open_files:
            return descriptor, False
        winner, _ = self._files.setdefault(path, (descriptor, stamp))
        if winner != descriptor:  # another thread opened it first
            os.close(descriptor)
        return winner, True


def _fill(descriptor: int, view: memoryview, offset: int, path: str) -> None:
    done = 0
    while done < len(view):
        try:
            got = os.preadv(descriptor, [view[done:]], offset + done)
        except OSError as error:
            raise cannot_read(path, error) from None
        if got == 0:
            raise CorruptFile(
                "The file ends early.",
                where=path,
                got=f"end at byte {offset + done}",
                want=f"{len(view)} bytes from {offset}",
            )
        done += got


def cannot_read(path: str, error: Exception) -> CheckpointError:
    """The error in house form for an operating-system error met on opening or reading `path`."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFound("There is no such file.", where=path)
    if isinstance(error, PermissionError):
        return CheckpointError(
            "The file may not be read.", where=path, got=_reason(error), fix="change its permissions"
        )
    return CheckpointError(
        "The file could not be read.", where=path, got=_reason(error), fix="check the disk or network mount"
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _changed(path: str, got: str) -> SourceChanged:
    return SourceChanged("An input file changed while it was in use.", where=path, got=got, fix="start the run again")
