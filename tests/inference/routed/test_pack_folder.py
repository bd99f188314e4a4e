"""Folders that are no packs, or no longer: every lie is named before a tensor is used."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from solera.app import pack_verify
from solera.checkpoints.identity import digest_file
from solera.errors import CheckpointError, CorruptFile, MissingTensor, NotFound, ShapeMismatch, SoleraError, UnsafeFile
from solera.inference.routed import load_pack, open_pack
from solera.inference.routed.index import INDEX


@pytest.fixture
def pack(packed, tmp_path):
    """A copy of a pack with a router, to be spoilt."""
    return shutil.copytree(packed("vit", "tall_mask", router=True), tmp_path / "pack")


def sealed(folder, **changes):
    """Change the index as one who knows the form would: digests and sizes are made right again."""
    said = json.loads((folder / INDEX).read_text())
    said |= changes
    for name, row in said["files"].items():
        if (folder / name).is_file():
            row |= {"bytes": (folder / name).stat().st_size, "digest": digest_file(folder / name)}
    (folder / INDEX).write_text(json.dumps(said))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "index": digest_file(folder / INDEX)}))
    return said


@pytest.mark.parametrize(
    "name", ["base.safetensors", "shared.safetensors", "task.two.safetensors", "router.safetensors"]
)
def test_a_changed_byte_is_found(pack, name):
    data = bytearray((pack / name).read_bytes())
    data[-1] ^= 1
    (pack / name).write_bytes(bytes(data))
    with pytest.raises(CorruptFile, match="not what was written"):
        load_pack(pack)
    found = pack_verify(pack)
    assert found["damaged"] == [name]
    assert not found["ok"]


def test_another_pack_s_base_is_found(pack, packed):
    shutil.copy(packed("vit", "twin", rank="full") / "shared.safetensors", pack / "base.safetensors")
    with pytest.raises(CorruptFile, match=r"another size|not what was written"):
        load_pack(pack)


@pytest.mark.parametrize("name", ["router.safetensors", "task.one.safetensors"])
def test_a_missing_file_is_named(pack, name):
    (pack / name).unlink()
    with pytest.raises(NotFound, match=f"got:   {name}"):
        load_pack(pack)


def test_a_shorter_file_is_found_without_reading_it(pack):
    path = pack / "shared.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CorruptFile, match="another size"):
        open_pack(pack)


def test_an_index_of_another_pack_is_found(pack):
    said = json.loads((pack / INDEX).read_text())
    (pack / INDEX).write_text(json.dumps({**said, "use": "all"}))
    with pytest.raises(CorruptFile, match=r"not the one that config\.json"):
        load_pack(pack)


@pytest.mark.parametrize(("changes", "kind", "text"), [
    ({"form": 9}, CorruptFile, "another form"),
    ({"use": "none"}, CorruptFile, "cannot be read"),
    ({"tasks": []}, CorruptFile, "not distinct"),
    ({"start": "../base.safetensors"}, CorruptFile, "does not list"),
    ({"router": {"file": "router.safetensors", "layer": -1, "width": 4, "hidden": 3}}, CorruptFile, "router is not of the size"),
    ({"router": {"file": "router.safetensors", "layers": -1}}, CorruptFile, "cannot be read"),
])  # fmt: skip
def test_an_index_that_lies(pack, changes, kind, text):
    sealed(pack, **changes)
    with pytest.raises(kind, match=text):
        load_pack(pack)


FIRST = {"name": "one", "file": "task.one.safetensors", "scale": 1.0, "answers": None, "labels": None}
ROUTER = {
    "file": "router.safetensors",
    "layer": -1,
    "width": 16,
    "hidden": 32,
    "samples": 1,
    "accuracy": 1.0,
    "mixes": False,
}


@pytest.mark.parametrize("changes", [
    {"start": ["base.safetensors"]}, {"vector": {"a": 1}}, {"experts": float("inf")},
    {"tasks": [{**FIRST, "scale": "nan"}]}, {"tasks": [{**FIRST, "answers": [1]}]}, {"tasks": [{**FIRST, "labels": ["a"]}]},
    {"router": {**ROUTER, "file": ["r"]}}, {"router": {**ROUTER, "width": "16"}}, {"router": {**ROUTER, "hidden": 10**12}},
    {"router": {**ROUTER, "width": -1}}, {"router": {**ROUTER, "layer": "x"}}, {"router": 5},
], ids=str)  # fmt: skip
def test_values_that_no_index_has(pack, changes):
    sealed(pack, **changes)
    with pytest.raises(CorruptFile, match="cannot be read"):
        open_pack(pack)


def test_a_router_that_says_it_is_huge_takes_no_memory(pack):
    sealed(pack, router={**ROUTER, "width": 1 << 24, "hidden": 1 << 24})
    with pytest.raises(CorruptFile, match="router is not of the size"):
        load_pack(pack)


def test_a_router_that_is_not_finite(pack):
    rewritten(pack, "router.safetensors", lambda tensors: tensors["last.bias"].fill_(float("nan")))
    with pytest.raises(CorruptFile, match="not finite"):
        load_pack(pack)


def test_a_head_that_one_task_lacks(pack):
    rewritten(pack, "task.one.safetensors", lambda tensors: tensors.update({"own/head.weight": torch.zeros(2, 2)}))
    with pytest.raises(MissingTensor, match="others have of their own"):
        load_pack(pack)


def inner(pack, **changes):
    """Change the config of the model inside."""
    config = json.loads((pack / "config.json").read_text())
    (pack / "config.json").write_text(json.dumps({**config, "inner": {**config["inner"], **changes}}))


@pytest.mark.parametrize("changes", [
    {"hidden_size": "x"}, {"hidden_size": 24}, {"architectures": ["BertModel"]},
    {"quantization_config": {"quant_method": "gptq", "bits": 4}},
], ids=str)  # fmt: skip
def test_configs_that_transformers_cannot_take(pack, changes):
    inner(pack, **changes)
    with pytest.raises(CheckpointError, match="cannot make the model inside"):
        load_pack(pack)


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation"])
def test_a_config_fetches_no_code(pack, name):
    inner(pack, **{name: "someone/kernels"})
    assert load_pack(pack).inner.config._attn_implementation == "sdpa"
    config = json.loads((pack / "config.json").read_text())
    (pack / "config.json").write_text(json.dumps({**config, name: "someone/kernels"}))
    assert AutoModel.from_pretrained(pack).inner.config._attn_implementation == "sdpa"


def test_side_files_that_cannot_be_read(packed, tmp_path):
    folder = shutil.copytree(packed("llama", "tall_mask"), tmp_path / "pack")
    (folder / "generation_config.json").write_text("junk")
    with pytest.raises(CheckpointError, match="cannot make the model inside"):
        load_pack(folder)


def test_a_file_outside_of_the_folder_is_refused(pack):
    said = json.loads((pack / INDEX).read_text())
    sealed(
        pack, start="../base.safetensors", files={**said["files"], "../base.safetensors": {"bytes": 1, "digest": ""}}
    )
    with pytest.raises(UnsafeFile, match="leads out"):
        load_pack(pack)


def test_tasks_with_names_that_lead_elsewhere_are_refused(pack):
    said = json.loads((pack / INDEX).read_text())
    sealed(pack, tasks=[{**said["tasks"][0], "name": "../x"}, *said["tasks"][1:]])
    with pytest.raises(SoleraError, match="cannot have this name"):
        load_pack(pack)


def rewritten(pack, name, change):
    tensors = load_file(pack / name)
    change(tensors)
    save_file(tensors, pack / name, {"format": "pt"})
    sealed(pack)


@pytest.mark.parametrize(("change", "kind", "text"), [
    (lambda t: t.update({"code/x": torch.zeros(1)}), CorruptFile, "of no kind"),
    (lambda t: t.update({"bits/nobody": torch.zeros(1, dtype=torch.uint8)}), MissingTensor, "does not have"),
    (lambda t: t.update({next(iter(t)): torch.zeros(999, dtype=torch.uint8)}), ShapeMismatch, "another shape"),
    (lambda t: t.update({"left/classifier.weight": torch.zeros(2, 1)}), MissingTensor, "no partner"),
    (lambda t: t.update({"delta/classifier.weight": torch.zeros(2, 1)}), ShapeMismatch, "another shape"),
])  # fmt: skip
def test_parts_that_do_not_fit(pack, change, kind, text):
    rewritten(pack, "task.one.safetensors", change)
    with pytest.raises(kind, match=text):
        load_pack(pack)
    assert text.split()[-1] in pack_verify(pack)["fault"]


def test_a_base_of_another_model_is_refused(pack):
    rewritten(pack, "base.safetensors", lambda tensors: tensors.pop("classifier.bias"))
    with pytest.raises((MissingTensor, ShapeMismatch)):
        load_pack(pack)


@pytest.mark.parametrize(("inner", "text"), [
    ({"architectures": ["pipeline"]}, "no such class"),
    ({"architectures": ["NoSuchModel"]}, "no such class"),
    ({"model_type": "solera_pack"}, "no such config"),
    ({"model_type": "unheard-of"}, "no such config"),
])  # fmt: skip
def test_architectures_that_are_not_supported(pack, inner, text):
    config = json.loads((pack / "config.json").read_text())
    (pack / "config.json").write_text(json.dumps({**config, "inner": {**config["inner"], **inner}}))
    with pytest.raises(CheckpointError, match=text):
        load_pack(pack)


def test_what_is_no_pack(tmp_path, family):
    with pytest.raises(NotFound, match="no pack"):
        open_pack(family("vit")["base"])
    with pytest.raises(NotFound, match="no such pack"):
        load_pack(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(NotFound, match="neither here nor on the Hub"):
        load_pack("org/nowhere", local_files_only=True)
