"""Safetensors files made to harm: each one a clear error, none a crash, a hang, or memory gone."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

from solera.checkpoints import FileReader, Limits, open_checkpoint
from solera.errors import CheckpointError, CorruptFile, UnsafeFile


def _file(path, header, data=b"", *, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def _row(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_the_honest_file_is_read(path):
    assert list(open_checkpoint(_file(path, {"a": _row()}, bytes(4))).table) == ["a"]


def test_nan_is_data(path):
    safetensors.torch.save_file({"a": torch.full((3,), float("nan"))}, path)
    with FileReader() as reader:
        assert open_checkpoint(path).table["a"].read(reader, 0, 3).isnan().all()


@pytest.mark.parametrize("size", [0, 1, 7, 8, 20])
def test_truncated(path, size):
    safetensors.torch.save_file({"a": torch.ones(3)}, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CorruptFile):
        open_checkpoint(path)


def test_truncated_data(path):
    safetensors.torch.save_file({"a": torch.ones(3)}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match="cut short"):
        open_checkpoint(path)


def test_data_after_the_tensors(path):
    safetensors.torch.save_file({"a": torch.ones(3)}, path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(CorruptFile, match="hole"):
        open_checkpoint(path)


@pytest.mark.parametrize("length", [200_000_000, 2**63, 2**64 - 1])
def test_huge_header(path, length):
    _file(path, b"{}", length=length)
    with FileReader() as reader:
        with pytest.raises(UnsafeFile, match="header is too large"):
            open_checkpoint(path, reader=reader)
        assert reader.bytes_read <= 8


def test_a_real_200_mb_header_is_not_read(path):
    with path.open("wb") as file:
        file.write((200_000_000).to_bytes(8, "little"))
        file.truncate(200_000_100)
    with FileReader() as reader:
        with pytest.raises(UnsafeFile, match="100000000 bytes at most"):
            open_checkpoint(path, reader=reader)
        assert reader.bytes_read <= 8


@pytest.mark.parametrize(
    "header",
    [
        {"a": _row(offsets=(0, 8), shape=(2,))},  # past the end
        {"a": _row(offsets=(2**62, 2**62 + 4))},
        {"a": _row(offsets=(-4, 0))},
        {"a": _row(offsets=(4, 0))},
        {"a": _row(offsets=(0.0, 4.0))},
        {"a": _row(offsets=(False, 4))},
        {"a": _row(offsets=(0, 10**30))},
        {"a": _row(offsets=(0, 4, 8))},
        {"a": _row(offsets=())},
        {"a": _row(shape=(2,))},
        {"a": _row(shape=(-1,))},
        {"a": _row(shape=(2**32, 2**32))},  # wraps to zero in 64 bits
        {"a": _row(shape=(2**63, 2, 0))},
        {"a": _row(shape=(1.0,))},
        {"a": _row(shape=("1",))},
        {"a": _row(shape=[1] * 100_000)},
        {"a": _row(dtype="F33")},
        {"a": _row(dtype=None)},
        {"a": _row(dtype=["F32"])},
        {"a": {**_row(), "extra": 1}},
        {"a": {"dtype": "F32", "shape": [1]}},
        {"a": 3},
        {"a": None},
        {"a": []},
        {"a": _row(), "b": _row()},  # overlap
        {"a": _row(offsets=(0, 4)), "b": _row(dtype="U8", offsets=(3, 4))},
        {"__metadata__": {"a": 1}, "a": _row()},
        {"__metadata__": [], "a": _row()},
        {"__metadata__": "x", "a": _row()},
        {},  # four bytes that nothing names
        [],
        "a",
        3,
    ],
    ids=lambda header: json.dumps(header)[:60],
)
def test_lying_header(path, header):
    with pytest.raises(CorruptFile):
        open_checkpoint(_file(path, header, bytes(4)))


def test_hole(path):
    header = {"a": _row(), "b": _row(offsets=(8, 12))}
    with pytest.raises(CorruptFile, match="hole"):
        open_checkpoint(_file(path, header, bytes(12)))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{}{}",
        b"\xff\xfe{}",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\0" * 8,
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}',
    ],
    ids=lambda text: str(text[:30]),
)
def test_header_that_is_no_json(path, text):
    with pytest.raises(CorruptFile):
        open_checkpoint(_file(path, text, bytes(4)))


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"b":'])
def test_deep_json(path, opening):
    with pytest.raises(UnsafeFile, match="nested too deeply"):
        open_checkpoint(_file(path, opening * 500_000))


def test_too_many_tensors(path):
    header = {str(i): _row(shape=(0,), offsets=(0, 0)) for i in range(50)}
    _file(path, header)
    assert len(open_checkpoint(path, limits=Limits(tensors=50)).table) == 50
    with pytest.raises(UnsafeFile, match="too many tensors"):
        open_checkpoint(path, limits=Limits(tensors=49))


def test_types_of_the_format_that_are_not_merged(path):
    with pytest.raises(CheckpointError, match="F8_E8M0"):
        open_checkpoint(_file(path, {"a": _row(dtype="F8_E8M0", shape=(4,))}, bytes(4)))


@pytest.mark.parametrize("text", [b"[" * 100_000, b"[]", b"\xff", b'{"a"', b" " * 10])
def test_broken_config(tmp_path, text):
    safetensors.torch.save_file({"a": torch.ones(3)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(CheckpointError, match="config"):
        open_checkpoint(tmp_path)


def test_huge_config(tmp_path):
    safetensors.torch.save_file({"a": torch.ones(3)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes(b'{"a": "' + b"x" * 1000 + b'"}')
    with pytest.raises(UnsafeFile, match="too large"):
        open_checkpoint(tmp_path, limits=Limits(json_bytes=100))
