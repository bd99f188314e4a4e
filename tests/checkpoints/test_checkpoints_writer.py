"""Output files equal what the reference library writes, byte for byte."""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys

import pytest
import safetensors.torch
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from hypothesis import given, settings
from hypothesis import strategies as st

from solera.checkpoints import index_json, layout, open_for_writing, writer
from solera.checkpoints.ranges import torch_dtype
from solera.checkpoints.writer import tensor_bytes
from solera.errors import NoSpace, RunError
from solera.types import DType, TensorSpec

_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)
_SPECS = st.builds(TensorSpec, st.sampled_from(list(DType)), _SHAPES)
_TABLES = st.dictionaries(_NAMES.filter(lambda name: name != "__metadata__"), _SPECS, max_size=8)


def _tensor(spec: TensorSpec, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    data = torch.randint(0, 2, (spec.nbytes,), generator=generator, dtype=torch.uint8)
    if not spec.nbytes:
        return torch.empty(spec.shape, dtype=torch_dtype(spec.dtype))
    return data.view(torch_dtype(spec.dtype)).reshape(spec.shape)


def _written(tmp_path, specs, tensors, shard_bytes=10**9, **options):
    for shard in layout(specs, shard_bytes, **options):
        with open_for_writing(tmp_path / shard.file, shard.size) as file:
            file.write(0, shard.header)
            for name, offset in shard.offsets.items():
                file.write(offset, tensor_bytes(tensors[name]))
    return tmp_path


@settings(max_examples=150, deadline=None)
@given(_TABLES)
def test_bytes_equal_the_reference_library(tmp_path_factory, specs):
    tensors = {name: _tensor(spec, i) for i, (name, spec) in enumerate(specs.items())}
    folder = _written(tmp_path_factory.mktemp("out"), specs, tensors)
    assert (folder / "model.safetensors").read_bytes() == safetensors.torch.save(tensors, metadata={"format": "pt"})


def test_provenance_keys_are_sorted_and_change_nothing_else(tmp_path):
    specs = {"b": TensorSpec(DType.BF16, (2, 2)), "a": TensorSpec(DType.F32, (3,))}
    tensors = {name: _tensor(spec, i) for i, (name, spec) in enumerate(specs.items())}
    metadata = {"solera": "1", "format": "pt", "recipe": "ab"}
    path = _written(tmp_path, specs, tensors, metadata=metadata) / "model.safetensors"
    ours, theirs = path.read_bytes(), safetensors.torch.save(tensors, metadata=metadata)
    assert _header(ours) == _header(theirs)
    assert list(_header(ours)["__metadata__"]) == sorted(metadata)
    assert [name for name in _header(ours) if name != "__metadata__"] == ["a", "b"]
    assert ours[len(ours) - 20 :] == theirs[len(theirs) - 20 :]
    assert len(ours) == len(theirs)


def _header(data: bytes) -> dict:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 60))
def test_shards_are_split_as_the_hub_library_splits(sizes, shard_bytes):
    specs = {f"t{i:02d}": TensorSpec(DType.U8, (size,)) for i, size in enumerate(sizes)}
    tensors = {name: torch.zeros(spec.shape, dtype=torch.uint8) for name, spec in specs.items()}
    split = split_torch_state_dict_into_shards(tensors, max_shard_size=shard_bytes)
    shards = layout(specs, shard_bytes)
    assert {shard.file: sorted(shard.specs) for shard in shards} == {
        file: sorted(names) for file, names in split.filename_to_tensors.items()
    }
    assert json.loads(index_json(shards)) == {
        "metadata": {"total_size": split.metadata["total_size"]},
        "weight_map": split.tensor_to_filename,
    }


def test_an_empty_table_is_one_empty_file():
    (shard,) = layout({}, 100)
    assert shard.size == len(shard.header)
    assert shard.header == safetensors.torch.save({}, metadata={"format": "pt"})


def test_reopening_keeps_what_was_written(tmp_path):
    with open_for_writing(tmp_path / "f", 6) as file:
        file.write(3, b"abc")
    with open_for_writing(tmp_path / "f", 5) as file:
        file.sync()
    assert (tmp_path / "f").read_bytes() == b"\0\0\0ab"


def test_full_disk_is_named(tmp_path):
    code = f"""
import resource
from solera.checkpoints import open_for_writing
from solera.errors import NoSpace
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    open_for_writing({str(tmp_path / "f")!r}, 1_000_000)
except NoSpace as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "not enough space" in done.stdout
    assert "1000000 bytes" in done.stdout


def test_full_disk_while_writing(tmp_path):
    file = open_for_writing(tmp_path / "f", 10)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, old[1]))
    try:
        with pytest.raises(NoSpace):
            file.write(0, b"0123456789")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        file.close()


def test_target_that_cannot_be_written(tmp_path):
    with pytest.raises(RunError, match="could not be written"):
        open_for_writing(tmp_path / "missing" / "f", 1)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="could not be written"):
        open_for_writing(tmp_path / "link", 1)


def test_tensor_bytes_of_a_transposed_tensor():
    tensor = torch.arange(math.prod((2, 3)), dtype=torch.int16).reshape(2, 3)
    assert bytes(tensor_bytes(tensor.T)) == tensor.T.contiguous().numpy().tobytes()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system reserves no space")
@pytest.mark.parametrize(("free", "reserved"), [(1 << 20, True), (1 << 40, False)])
def test_space_is_reserved_where_the_disk_is_short_of_it(tmp_path, monkeypatch, free, reserved):
    calls = []
    monkeypatch.setattr(writer, "_room", lambda _: free)
    monkeypatch.setattr(os, "posix_fallocate", lambda *given: calls.append(given))
    with open_for_writing(tmp_path / "out", 1 << 20):
        assert (tmp_path / "out").stat().st_size == 1 << 20
    assert bool(calls) is reserved
