"""Opening folders, files, shards and Hub ids."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
import safetensors.torch
import torch

from solera.checkpoints import FileReader, download_size, memory_checkpoint, open_checkpoint, parse_ref
from solera.errors import CheckpointError, CorruptFile, MissingTensor, NotFound, UnsafeFile
from solera.types import DType, LoraRef, ModelRef

TENSORS = {
    "b": torch.randn(3, 4).bfloat16(),
    "a": torch.arange(5.0),
    "z": torch.empty(0, 3),
    "s": torch.tensor(data=True),
}


def _folder(path, tensors=TENSORS, **files):
    path.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(tensors, path / "model.safetensors", metadata={"format": "pt", "x": "y"})
    (path / "config.json").write_text(json.dumps({"model_type": "none"}))
    (path / "tokenizer.json").write_text("{}")
    return path


def _sharded(path):
    path.mkdir()
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    safetensors.torch.save_file({"x": torch.ones(2), "extra": torch.zeros(1)}, path / names[0])
    safetensors.torch.save_file({"y": torch.ones(3)}, path / names[1])
    index = {"metadata": {}, "weight_map": {"y": names[1], "x": names[0]}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


def _values(checkpoint):
    with FileReader() as reader:
        return {
            name: source.read(reader, 0, source.spec.numel).reshape(source.spec.shape)
            for name, source in checkpoint.table.items()
        }


def _assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0, equal_nan=True)


def test_folder(tmp_path):
    folder = _folder(tmp_path / "m")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "checkpoint-5").mkdir()
    (folder / "checkpoint-5" / "config.json").write_text("{}")
    (folder / "optimizer.pt").write_bytes(b"not read")
    model = open_checkpoint(folder)
    _assert_equal(_values(model), TENSORS)
    assert model.config == {"model_type": "none"}
    assert model.side_files == ("1_Pooling/config.json", "tokenizer.json")
    assert model.metadata == {"format": "pt", "x": "y"}
    assert list(model.table) == ["a", "z", "b", "s"]  # file order
    assert model.nbytes == 3 * 4 * 2 + 5 * 4 + 1
    assert model.folder == folder


def test_single_files(tmp_path):
    safetensors.torch.save_file(TENSORS, tmp_path / "some.safetensors")
    torch.save(TENSORS, tmp_path / "some.pt")
    for name in ("some.safetensors", "some.pt"):
        model = open_checkpoint(str(tmp_path / name))
        _assert_equal(_values(model), TENSORS)
        assert (model.folder, model.config, model.side_files) == (None, {}, ())


def test_shards_follow_the_index(tmp_path):
    model = open_checkpoint(_sharded(tmp_path / "m"))
    assert list(model.table) == ["x", "y"]
    assert model.consumed == {"extra": "not listed in model.safetensors.index.json"}
    assert "not in the index" in model.notes[0]


def test_shards_without_index(tmp_path):
    folder = _sharded(tmp_path / "m")
    (folder / "model.safetensors.index.json").unlink()
    assert sorted(open_checkpoint(folder).table) == ["extra", "x", "y"]
    (folder / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(NotFound, match=r"not clear which|No weights"):
        open_checkpoint(folder)


def test_missing_shard_and_missing_tensor(tmp_path):
    folder = _sharded(tmp_path / "m")
    safetensors.torch.save_file({"other": torch.ones(1)}, folder / "model-00002-of-00002.safetensors")
    with pytest.raises(MissingTensor, match="got:   y"):
        open_checkpoint(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(NotFound, match="model-00002-of-00002"):
        open_checkpoint(folder)


def test_one_tensor_in_two_files(tmp_path):
    folder = _sharded(tmp_path / "m")
    (folder / "model.safetensors.index.json").unlink()
    safetensors.torch.save_file({"x": torch.ones(1)}, folder / "model-00002-of-00002.safetensors")
    with pytest.raises(CorruptFile, match="in two files"):
        open_checkpoint(folder)


def test_sharded_torch_files(tmp_path):
    names = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
    torch.save({"x": torch.ones(2)}, tmp_path / names[0])
    torch.save({"y": torch.ones(3)}, tmp_path / names[1], _use_new_zipfile_serialization=False)
    index = {"weight_map": {"x": names[0], "y": names[1]}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    _assert_equal(_values(open_checkpoint(tmp_path)), {"x": torch.ones(2), "y": torch.ones(3)})


def test_models_with_one_index_have_their_own_files(tmp_path):
    first, second = _sharded(tmp_path / "a"), _sharded(tmp_path / "b")
    safetensors.torch.save_file({"y": torch.zeros(3)}, second / "model-00002-of-00002.safetensors")
    one, two = open_checkpoint(first), open_checkpoint(second)
    assert _values(one)["y"].sum() == 3
    assert _values(two)["y"].sum() == 0
    assert one.nbytes == two.nbytes == sum(source.spec.nbytes for source in two.table.values())


def test_a_known_index_is_held_to_each_folder(tmp_path):
    first, second = _sharded(tmp_path / "a"), _sharded(tmp_path / "b")
    open_checkpoint(first)
    shard = second / "model-00002-of-00002.safetensors"
    shard.unlink()
    shard.symlink_to(first / shard.name)
    with pytest.raises(UnsafeFile, match="leads out"):
        open_checkpoint(second)


def test_weak_id_changes_with_the_files(tmp_path):
    folder = _folder(tmp_path / "m")
    first = open_checkpoint(folder).weak_id
    assert open_checkpoint(folder).weak_id == first
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert open_checkpoint(folder).weak_id != first


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["model.gguf"], "GGUF"),
        (["adapter_model.safetensors", "adapter_config.json"], "an adapter, not a model"),
        (["a.bin", "b.bin"], "not clear which"),
        (["config.json"], "No weights"),
    ],
)
def test_folders_that_are_no_model(tmp_path, files, message):
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


def test_paths_that_do_not_exist(tmp_path):
    with pytest.raises(NotFound, match="check the path"):
        open_checkpoint(tmp_path / "nothing")
    with pytest.raises(NotFound, match="neither a local path nor in the local cache"):
        open_checkpoint("org/nothing", cache_dir=tmp_path, offline=True)


def test_subfolder(tmp_path):
    _folder(tmp_path / "repo" / "inner")
    assert len(open_checkpoint(ModelRef(str(tmp_path / "repo"), subfolder="inner")).table) == len(TENSORS)
    with pytest.raises(CheckpointError, match="leads out"):
        open_checkpoint(ModelRef(str(tmp_path / "repo"), subfolder="../.."))


def test_references():
    assert parse_ref("org/name") == ModelRef("org/name")
    assert parse_ref("org/name@v1+a/b@v2+c/d") == ModelRef("org/name", "v1", (LoraRef("a/b", "v2"), LoraRef("c/d")))


def test_references_with_signs_in_existing_paths(tmp_path):
    path = tmp_path / "c++@2"
    path.mkdir()
    assert parse_ref(str(path)) == ModelRef(str(path))
    assert parse_ref(f"{path}+org/lora") == ModelRef(str(path), None, (LoraRef("org/lora"),))


def test_memory_checkpoint():
    model = memory_checkpoint(TENSORS, {"a": 1})
    assert model.specs["b"].dtype is DType.BF16
    assert model.weak_id == memory_checkpoint(TENSORS, {"a": 1}).weak_id
    assert model.weak_id != memory_checkpoint({**TENSORS, "a": torch.zeros(5)}, {"a": 1}).weak_id
    _assert_equal(_values(model), TENSORS)


def test_checkpoints_are_plain_data(tmp_path):
    model = open_checkpoint(_folder(tmp_path / "m"))
    assert pickle.loads(pickle.dumps(model)) == model


def test_opening_imports_no_torch(tmp_path):
    _folder(tmp_path / "m")
    torch.save(TENSORS, tmp_path / "m.bin")
    code = f"""
import sys
from solera.checkpoints import layout, open_checkpoint
for name in ("m", "m.bin"):
    model = open_checkpoint({str(tmp_path)!r} + "/" + name)
layout(model.specs, 100)
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the Hub ---------------------------------------------------------------------------------------------------------


def _cache(tmp_path, monkeypatch):
    """A Hub cache as the library lays it out: files of a snapshot are links to blobs."""
    repo = tmp_path / "cache" / "models--org--name"
    real = _folder(tmp_path / "real")
    commit = "a" * 40
    (repo / "blobs").mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for i, file in enumerate(sorted(real.iterdir())):
        (repo / "blobs" / str(i)).write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(f"../../blobs/{i}")
    return tmp_path / "cache"


def test_hub_id_from_the_cache(tmp_path, monkeypatch):
    cache = _cache(tmp_path, monkeypatch)
    model = open_checkpoint("org/name", cache_dir=cache, offline=True)
    _assert_equal(_values(model), TENSORS)
    assert model.side_files == ("tokenizer.json",)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert open_checkpoint("org/name@main", cache_dir=cache).weak_id == model.weak_id
    assert download_size("org/name", cache_dir=cache) == 0
    with pytest.raises(NotFound, match="hf download org/name"):
        open_checkpoint("org/name@v9", cache_dir=cache)


class _Hub:
    """Stands in for the Hub's API: a listing, and downloads that are recorded."""

    def __init__(self, files, error=None):
        self.files, self.error, self.patterns = files, error, None

    def model_info(self, repo, *, revision, files_metadata):
        if self.error:
            raise self.error
        rows = [SimpleNamespace(rfilename=name, size=size) for name, size in self.files.items()]
        return SimpleNamespace(sha="c" * 40, siblings=rows)


def _plug(monkeypatch, hub, folder):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)

    def snapshot(repo, *, revision, cache_dir, allow_patterns=None, local_files_only=False):
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not there")
        hub.patterns = allow_patterns
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)


LISTING = {
    "config.json": 10,
    "model-00001-of-00002.safetensors": 1000,
    "model-00002-of-00002.safetensors": 500,
    "model.safetensors.index.json": 20,
    "pytorch_model.bin": 1500,
    "tokenizer.json": 7,
    "onnx/model.onnx": 900,
    "original/consolidated.00.pth": 1500,
}


def test_only_what_is_needed_is_downloaded(tmp_path, monkeypatch):
    hub = _Hub(LISTING)
    _plug(monkeypatch, hub, _folder(tmp_path / "m"))
    assert download_size("org/name@v1+org/name", cache_dir=tmp_path) == 2 * 1537
    open_checkpoint("org/name", cache_dir=tmp_path)
    assert sorted(hub.patterns) == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ]


def _http(kind):
    response = SimpleNamespace(headers={}, request=None, status_code=404)
    try:
        return kind("no", response=response)
    except TypeError:
        return kind("no")


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("RepositoryNotFoundError", NotFound, "no such model"),
        ("RevisionNotFoundError", NotFound, "no such revision"),
        ("GatedRepoError", CheckpointError, "hf auth login"),
    ],
)
def test_refusals_of_the_hub(tmp_path, monkeypatch, kind, error, message):
    _plug(monkeypatch, _Hub({}, _http(getattr(huggingface_hub.errors, kind))), tmp_path)
    with pytest.raises(error, match=message):
        open_checkpoint("org/name@v1", cache_dir=tmp_path)


def test_hub_out_of_reach(tmp_path, monkeypatch):
    _plug(monkeypatch, _Hub({}, ConnectionError("no route")), tmp_path)
    with pytest.raises(NotFound, match="no route"):
        open_checkpoint("org/name", cache_dir=tmp_path)
    assert download_size("org/name", cache_dir=tmp_path) == 0
