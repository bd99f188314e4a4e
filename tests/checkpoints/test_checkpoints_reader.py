"""The file reader: exact bytes, counts, changes, faults, threads."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import torch

from solera.checkpoints import FaultyReader, FileRange, FileReader, MemoryReader, ReadFault
from solera.errors import CheckpointError, CorruptFile, NotFound, SourceChanged, UnsafeFile
from solera.types import DType, TensorSpec


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(range(256)) * 40)
    return path


def test_reads_and_counts(file):
    with FileReader() as reader:
        got = reader.pread(str(file), 250, 12)
        assert got.tolist() == [250, 251, 252, 253, 254, 255, 0, 1, 2, 3, 4, 5]
        got[0] = 7  # fresh and writable
        assert reader.pread(str(file), 250, 1).tolist() == [250]
        assert reader.bytes_read == 13
        assert reader.pread(str(file), 0, 0).size == 0


def test_end_of_file(file):
    with FileReader() as reader, pytest.raises(CorruptFile, match="ends early"):
        reader.pread(str(file), 10_200, 100)


@pytest.mark.parametrize("change", ["rewrite", "replace", "touch", "remove", "grow"])
def test_changes_are_noticed(file, change):
    with FileReader() as reader:
        reader.pread(str(file), 0, 8)
        if change == "rewrite":
            file.write_bytes(b"short")
        elif change == "replace":
            other = file.with_name("other")
            other.write_bytes(file.read_bytes())
            os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
            other.replace(file)
        elif change == "touch":
            os.utime(file, ns=(5, 5))
        elif change == "grow":
            with file.open("ab") as out:
                out.write(b"x")
        else:
            file.unlink()
        with pytest.raises(SourceChanged):
            reader.pread(str(file), 0, 8)


def test_what_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with FileReader() as reader:
        with pytest.raises(NotFound):
            reader.pread(str(tmp_path / "none"), 0, 1)
        with pytest.raises(UnsafeFile, match="not a regular file"):
            reader.pread(str(tmp_path / "pipe"), 0, 1)
        with pytest.raises(UnsafeFile):
            reader.pread(str(tmp_path), 0, 1)
        with pytest.raises(CheckpointError):
            reader.pread("a\0b", 0, 1)


def test_more_files_than_descriptors(tmp_path):
    with FileReader(open_files=2) as reader:
        for i in range(5):
            (tmp_path / str(i)).write_bytes(bytes([i]))
        for _ in range(2):
            assert [int(reader.pread(str(tmp_path / str(i)), 0, 1)[0]) for i in range(5)] == list(range(5))


def test_threads_read_the_right_bytes(tmp_path):
    paths = []
    for i in range(8):
        paths.append(tmp_path / str(i))
        paths[-1].write_bytes(bytes([i]) * 5000)

    def work(job):
        return int(reader.pread(str(paths[job % 8]), job, 100).sum()) == 100 * (job % 8)

    with FileReader(open_files=4) as reader:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(2000)))
        assert reader.bytes_read == 200_000


def test_disk_errors(file, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    with FileReader() as reader, pytest.raises(CheckpointError, match="Input/output error"):
        reader.pread(str(file), 0, 1)


def test_short_reads_of_the_system_are_continued(file, monkeypatch):
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: real(fd, [views[0][:3]], at))
    with FileReader() as reader:
        assert reader.pread(str(file), 0, 10).tolist() == list(range(10))


def test_fakes_fail_as_told():
    source = FileRange("a.bin", 0, TensorSpec(DType.U8, (4,)))
    inner = MemoryReader({"a.bin": b"abcd"})
    reader = FaultyReader(ReadFault("short", "a.bin", after=1, times=1), inner=inner)
    assert source.read(reader, 0, 2).tolist() == [97, 98]
    with pytest.raises(CorruptFile):
        source.read(reader, 0, 2)
    assert source.read(reader, 0, 2).tolist() == [97, 98]
    assert reader.bytes_read == 4
    with pytest.raises(SourceChanged):
        FaultyReader(ReadFault("changed"), inner=inner).pread("a.bin", 0, 1)
    flipped = FaultyReader(ReadFault("flip"), inner=inner).pread("a.bin", 0, 4)
    assert flipped.tolist() == [97, 98, 98, 100]


def test_range_of_every_type(tmp_path):
    data = torch.arange(64, dtype=torch.uint8) % 2
    (tmp_path / "x").write_bytes(data.numpy().tobytes())
    with FileReader() as reader:
        for dtype in DType:
            count = 64 // dtype.itemsize
            source = FileRange(str(tmp_path / "x"), 0, TensorSpec(dtype, (count,)))
            part = source.read(reader, 1, count)
            assert str(part.dtype) == f"torch.{dtype.torch_name}"
            assert part.view(torch.uint8).tolist() == data[dtype.itemsize :].tolist()
            assert source.read(reader, 0, 0).numel() == 0


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no advice about files")
def test_all_of_a_range_is_asked_for_and_nothing_is_read_by_the_process(file, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _descriptor, at, nbytes, _advice: asked.append((at, nbytes)))
    with FileReader() as reader:
        reader.soon(str(file), 5, (5 << 20) + 7)
        assert reader.bytes_read == 0
    assert asked[0][0] == 5
    assert all(at + nbytes == after for (at, nbytes), (after, _) in pairwise(asked))
    assert sum(nbytes for _, nbytes in asked) == (5 << 20) + 7


def test_no_advice_is_no_error(file, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EINVAL, "no advice here")

    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    with FileReader() as reader:
        reader.soon(str(file), 0, 4)
        assert reader.pread(str(file), 0, 4).size == 4
