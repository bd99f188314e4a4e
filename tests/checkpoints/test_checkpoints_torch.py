"""PyTorch's own files, read without running code."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch

from solera.checkpoints import FileReader, open_checkpoint
from solera.errors import CheckpointError, CorruptFile, UnsafeFile

FORMATS = pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "stream"])


def _tensors():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(40, generator=generator)
    return {
        "matrix": torch.randn(3, 4, generator=generator),
        "transposed": torch.randn(5, 7, generator=generator).t(),
        "slice": base[3:9].view(2, 3),
        "columns": base.view(8, 5)[:, 1:3],
        "shared": base,
        "half": torch.randn(3, generator=generator).half(),
        "bf16": torch.randn(3, generator=generator).bfloat16(),
        "double": torch.randn(3, generator=generator).double(),
        "ids": torch.arange(4),
        "mask": torch.tensor([True, False]),
        "scalar": torch.tensor(3.0),
        "empty": torch.empty(0, 4),
        "parameter": torch.nn.Parameter(torch.randn(2, generator=generator)),
        "permuted": torch.randn(2, 3, 4, generator=generator).permute(2, 0, 1),
        "expanded_by_one": torch.arange(6)[None, :],
    }


@FORMATS
def test_every_slice_of_every_layout(tmp_path, options):
    tensors = _tensors()
    torch.save(tensors, tmp_path / "m.bin", **options)
    model = open_checkpoint(tmp_path / "m.bin")
    assert model.table.keys() == tensors.keys()
    with FileReader() as reader:
        for name, tensor in tensors.items():
            source, flat = model.table[name], tensor.detach().reshape(-1)
            assert source.spec.shape == tuple(tensor.shape)
            for start in range(flat.numel() + 1):
                for stop in range(start, flat.numel() + 1):
                    part = source.read(reader, start, stop)
                    assert part.dtype == flat.dtype
                    assert torch.equal(part, flat[start:stop]), name
                    assert source.cost_bytes(start, stop) >= part.nbytes


def test_types_without_a_storage_class(tmp_path):
    tensors = {
        "f8": torch.randn(4, 2).to(torch.float8_e4m3fn),
        "u16": torch.arange(3).to(torch.uint16),
    }
    torch.save(tensors, tmp_path / "m.pt")
    with FileReader() as reader:
        for name, source in open_checkpoint(tmp_path / "m.pt").table.items():
            got = source.read(reader, 0, source.spec.numel)
            assert torch.equal(got.view(torch.uint8), tensors[name].reshape(-1).view(torch.uint8))


@FORMATS
def test_state_dicts_of_modules_and_wrapped_ones(tmp_path, options):
    state = torch.nn.BatchNorm1d(3).state_dict()  # carries metadata as an attribute
    assert isinstance(state, OrderedDict)
    torch.save(state, tmp_path / "a.bin", **options)
    optimizer = {"state": {0: {"step": torch.tensor(1.0), "exp": torch.zeros(9)}}, "lr": 0.1}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": optimizer}, tmp_path / "b.bin", **options)
    for name in ("a.bin", "b.bin"):
        assert set(open_checkpoint(tmp_path / name).table) == set(state)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(tmp_path, protocol):
    torch.save({"a": torch.ones(2), "β": torch.zeros(1)}, tmp_path / "m.pt", pickle_protocol=protocol)
    assert set(open_checkpoint(tmp_path / "m.pt").table) == {"a", "β"}


def test_only_headers_are_read(tmp_path):
    torch.save({"a": torch.zeros(500_000)}, tmp_path / "m.pt")
    with FileReader() as reader:
        open_checkpoint(tmp_path / "m.pt", reader=reader)
        assert reader.bytes_read < 100_000


@FORMATS
@pytest.mark.parametrize("thing", [[1, 2], {"a": 1}, {}, torch.zeros(2)], ids=repr)
def test_files_without_a_state_dict(tmp_path, options, thing):
    torch.save(thing, tmp_path / "m.pt", **options)
    with pytest.raises(CorruptFile, match="no state dict"):
        open_checkpoint(tmp_path / "m.pt")


@FORMATS
def test_whole_modules_are_refused_by_name(tmp_path, options):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pt", **options)
    with pytest.raises(UnsafeFile, match=r"torch\.nn\.modules\.linear\.Linear"):
        open_checkpoint(tmp_path / "m.pt")


def test_a_tensor_that_repeats_its_storage_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1).expand(1 << 40)}, tmp_path / "m.pt")
    with pytest.raises(UnsafeFile, match="repeats its storage"):
        open_checkpoint(tmp_path / "m.pt")


def test_other_files(tmp_path):
    (tmp_path / "m.pt").write_bytes(b"hello")
    with pytest.raises(CheckpointError):
        open_checkpoint(tmp_path / "m.pt")
    (tmp_path / "m.bin").write_bytes(b"")
    with pytest.raises(CorruptFile):
        open_checkpoint(tmp_path / "m.bin")
