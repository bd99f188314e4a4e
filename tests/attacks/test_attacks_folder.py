"""Folders that try to lead out of themselves."""

from __future__ import annotations

import json
import os

import pytest
import safetensors.torch
import torch

from solera.checkpoints import open_checkpoint
from solera.errors import CheckpointError, CorruptFile, UnsafeFile


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.safetensors"
    safetensors.torch.save_file({"x": torch.ones(1)}, path)
    return path


def _indexed(tmp_path, file, index="model.safetensors.index.json"):
    folder = tmp_path / "m"
    folder.mkdir(exist_ok=True)
    (folder / index).write_text(json.dumps({"weight_map": {"x": file}}))
    return folder


@pytest.mark.parametrize(
    "file", ["../secret.safetensors", "a/../../secret.safetensors", "..\\secret.safetensors", "", "a\0b", ".."]
)
@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_index_that_leaves_the_folder(tmp_path, secret, file, index):
    with pytest.raises(UnsafeFile, match="out of the model's folder"):
        open_checkpoint(_indexed(tmp_path, file, index))


def test_index_with_an_absolute_path(tmp_path, secret):
    with pytest.raises(UnsafeFile, match="out of the model's folder"):
        open_checkpoint(_indexed(tmp_path, str(secret)))


def test_index_that_names_a_link_out(tmp_path, secret):
    folder = _indexed(tmp_path, "shard.safetensors")
    (folder / "shard.safetensors").symlink_to(secret)
    with pytest.raises(UnsafeFile, match="out of the model's folder"):
        open_checkpoint(folder)


def test_folder_link_out(tmp_path, secret):
    folder = _indexed(tmp_path, "inner/secret.safetensors")
    (folder / "inner").symlink_to(tmp_path)
    with pytest.raises(UnsafeFile, match="out of the model's folder"):
        open_checkpoint(folder)


def test_weights_or_config_that_are_links_out(tmp_path, secret):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(secret)
    with pytest.raises(UnsafeFile):
        open_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(secret.read_bytes())
    (folder / "config.json").symlink_to("/etc/hostname")
    with pytest.raises(UnsafeFile):
        open_checkpoint(folder)


def test_links_inside_the_folder_are_fine(tmp_path, secret):
    folder = _indexed(tmp_path, "link.safetensors")
    (folder / "real.safetensors").write_bytes(secret.read_bytes())
    (folder / "link.safetensors").symlink_to("real.safetensors")
    assert list(open_checkpoint(folder).table) == ["x"]


def test_side_files_that_are_links_out_are_left_out(tmp_path, secret):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(secret.read_bytes())
    (folder / "tokenizer.json").symlink_to("/etc/hostname")
    (folder / "loop").symlink_to("loop")
    (folder / "vocab.json").write_text("{}")
    model = open_checkpoint(folder)
    assert model.side_files == ("vocab.json",)
    assert any("tokenizer.json" in note for note in model.notes)


def test_a_pipe_in_place_of_weights_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(UnsafeFile, match="not a regular file"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("weight_map", [None, [], {"x": 1}, {"x": None}, {"x": ["a"]}, "x"])
def test_index_of_the_wrong_shape(tmp_path, weight_map):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CorruptFile, match="weight_map"):
        open_checkpoint(tmp_path)


def test_index_with_duplicate_names(tmp_path, secret):
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"x": "a", "x": "b"}}')
    with pytest.raises(CorruptFile, match="twice"):
        open_checkpoint(tmp_path)


def test_index_that_is_its_own_shard(tmp_path):
    folder = _indexed(tmp_path, "model.safetensors.index.json")
    with pytest.raises(CheckpointError):
        open_checkpoint(folder)


def test_adapter_config_that_is_a_link_out(tmp_path, secret):
    base, lora = tmp_path / "m", tmp_path / "lora"
    base.mkdir()
    lora.mkdir()
    (base / "model.safetensors").write_bytes(secret.read_bytes())
    (tmp_path / "outside.json").write_text("{}")
    (lora / "adapter_config.json").symlink_to(tmp_path / "outside.json")
    (lora / "adapter_model.safetensors").write_bytes(secret.read_bytes())
    with pytest.raises(UnsafeFile):
        open_checkpoint(f"{base}+{lora}")
