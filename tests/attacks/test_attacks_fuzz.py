"""Random damage to valid files: nothing but errors of the house, and no hang."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solera.checkpoints import FileReader, Limits, open_checkpoint
from solera.errors import SoleraError

LIMITS = Limits(header_bytes=100_000, json_bytes=100_000, pickle_bytes=1_000_000, tensors=1000)
FUZZ = settings(max_examples=300, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _tensors():
    return {"a.weight": torch.ones(3, 4), "b": torch.zeros(2).bfloat16(), "c": torch.arange(6).reshape(2, 3).t()}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    safetensors.torch.save_file({name: t.contiguous() for name, t in _tensors().items()}, folder / "m.safetensors")
    torch.save(_tensors(), folder / "zip.pt")
    torch.save(_tensors(), folder / "stream.bin", _use_new_zipfile_serialization=False)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _read_all(path):
    model = open_checkpoint(path, limits=LIMITS)
    with FileReader() as reader:
        for source in model.table.values():
            source.read(reader, 0, source.spec.numel)


_EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6
)


def _damage(data, edits):
    out = bytearray(data)
    for place, kind, new in edits:
        at = min(int(place * len(out)), max(0, len(out) - 1))
        if kind == 0:
            out[at : at + len(new)] = new
        elif kind == 1:
            out[at:at] = new
        elif kind == 2:
            del out[at : at + len(new)]
        else:
            del out[at + 1 :]
    return bytes(out)


@pytest.mark.parametrize("name", ["m.safetensors", "zip.pt", "stream.bin"])
@FUZZ
@given(edits=_EDITS)
def test_damaged_files(tmp_path, originals, name, edits):
    path = tmp_path / name
    path.write_bytes(_damage(originals[name], edits))
    try:
        _read_all(path)
    except SoleraError as error:
        assert str(error)  # noqa: PT017


def _header_length(data):
    return int.from_bytes(data[:8], "little")


@FUZZ
@given(edits=_EDITS)
def test_damaged_headers(tmp_path, originals, edits):
    """Damage inside the header's text, with the length kept true."""
    data = originals["m.safetensors"]
    length = _header_length(data)
    text = _damage(data[8 : 8 + length], edits)
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    try:
        _read_all(path)
    except SoleraError as error:
        assert str(error)  # noqa: PT017


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@FUZZ
@given(value=_JSON)
def test_arbitrary_json(tmp_path, value):
    """Any JSON as a header's row, as a config, as an index, as an adapter's config."""
    header = json.dumps({"a": value} if not isinstance(value, dict) else value).encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    folder = tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    safetensors.torch.save_file({"a": torch.ones(1)}, folder / "model.safetensors")
    settings_ = [{"quantization_config": value}, {"text_config": value}, value]
    lora = tmp_path / "lora"
    lora.mkdir(exist_ok=True)
    safetensors.torch.save_file({"x.lora_A.weight": torch.ones(1, 1)}, lora / "adapter_model.safetensors")
    keys = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "trainable_token_indices", "peft_type")
    adapters = [{key: value} for key in keys] + [{"rank_pattern": {str(value)[:20]: 1}}]
    index = folder / "inner"
    index.mkdir(exist_ok=True)
    (index / "model.safetensors.index.json").write_text(json.dumps({"weight_map": value}))
    attempts = [tmp_path / "m.safetensors", index]
    for path in attempts:
        _attempt(path)
    for config in settings_:
        (folder / "config.json").write_text(json.dumps(config))
        _attempt(folder)
    (folder / "config.json").unlink()
    for config in adapters:
        (lora / "adapter_config.json").write_text(json.dumps(config))
        _attempt(f"{folder}+{lora}")


def _attempt(path):
    try:
        open_checkpoint(path, limits=LIMITS)
    except SoleraError as error:
        assert str(error)  # noqa: PT017
