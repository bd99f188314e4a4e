"""inspect, diff, verify, try, push, doctor."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file


@pytest.fixture
def merged(solera, zoo, tmp_path):
    """A merge of two experts, and the folders."""
    made = zoo(experts=2)
    assert solera("merge", made["e0"], made["e1"], "--base", made["base"], "--method", "task_arithmetic", "-o",
                  tmp_path / "out").code == 0  # fmt: skip
    return tmp_path / "out", made


def test_inspect_counts_roles_and_layers(solera, zoo) -> None:
    base = zoo(experts=0)["base"]
    found = solera("inspect", base, "--json").data
    tensors = load_file(base / "model.safetensors")
    assert found["architecture"] == "llama"
    assert found["tensors"] == len(tensors) == len(found["table"])
    assert found["parameters"] == sum(t.size for t in tensors.values())
    assert found["bytes"] == sum(t.nbytes for t in tensors.values())
    assert found["layers"] == {"layers": 4}
    assert sum(row["parameters"] for row in found["roles"].values()) == found["parameters"]
    rows = {row["name"]: row for row in found["table"]}
    assert rows["model.layers.2.mlp.up_proj.weight"]["roles"] == ["mlp.up"]
    assert rows["model.layers.2.mlp.up_proj.weight"]["layer"] == 2


def test_inspect_digests_tell_tensors_apart(solera, zoo) -> None:
    made = zoo(experts=1)
    one = {row["name"]: row["digest"] for row in solera("inspect", made["base"], "--digests", "--json").data["table"]}
    two = {row["name"]: row["digest"] for row in solera("inspect", made["e0"], "--digests", "--json").data["table"]}
    assert one.keys() == two.keys()
    assert all(one[name] != two[name] for name in one)


def test_inspect_text(solera, zoo) -> None:
    said = solera("inspect", zoo(experts=0)["base"], "--tensors")
    assert said.code == 0
    assert "llama" in said.out
    assert "lm_head.weight  F32 40 x 16" in said.out


def test_inspect_of_a_truncated_file(solera, zoo) -> None:
    base = zoo(experts=0)["base"]
    file = base / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    said = solera("inspect", base)
    assert said.code == 3
    assert said.err.startswith("CorruptFile")
    assert "model.safetensors" in said.err


def test_diff_of_equal_models(solera, zoo) -> None:
    base = zoo(experts=0)["base"]
    said = solera("diff", base, base)
    assert (said.code, said.out) == (0, "the tensors are equal\n")


def test_diff_gives_norms(solera, zoo) -> None:
    made = zoo(experts=1)
    said = solera("diff", made["base"], made["e0"], "--json")
    assert said.code == 1
    a, b = load_file(made["base"] / "model.safetensors"), load_file(made["e0"] / "model.safetensors")
    gap = np.concatenate([(b[n].astype(np.float64) - a[n]).ravel() for n in a])
    assert said.data["total"]["norm"] == pytest.approx(float(np.linalg.norm(gap)), rel=1e-12)
    assert said.data["total"]["largest"] == pytest.approx(float(np.abs(gap).max()), rel=1e-12)
    assert set(said.data["by_layer"]) == {"outside", "0", "1", "2", "3"}
    assert len(said.data["leaves"]) == len(a)


def test_diff_names_shapes_missing_tensors_and_settings(solera, zoo) -> None:
    made = zoo(experts=1)
    tensors = load_file(made["e0"] / "model.safetensors")
    del tensors["lm_head.weight"]
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:-1].copy()
    save_file(tensors, made["e0"] / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((made["e0"] / "config.json").read_text())
    (made["e0"] / "config.json").write_text(json.dumps({**config, "rope_parameters": {"rope_theta": 5.0}}))
    found = solera("diff", made["base"], made["e0"], "--json").data
    assert found["only_a"] == ["lm_head.weight"]
    assert found["shapes"] == {"model.norm.weight": [[16], [15]]}
    assert "rope_parameters" in found["config"]
    text = solera("diff", made["base"], made["e0"]).out
    assert "only in A: lm_head.weight" in text


def test_diff_of_a_missing_model(solera, zoo) -> None:
    said = solera("diff", zoo(experts=0)["base"], "./nowhere")
    assert said.code == 3
    assert "nowhere" in said.err


def test_verify_finds_one_changed_bit(solera, merged) -> None:
    out, _ = merged
    assert solera("verify", out).code == 0
    file = out / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    said = solera("verify", out, "--json")
    assert said.code == 3
    assert len(said.data["damaged"]) == 1
    assert "damaged: " in solera("verify", out).out


def test_verify_without_a_manifest(solera, merged) -> None:
    said = solera("verify", merged[1]["base"])
    assert said.code == 3
    assert "manifest" in said.err


def test_push_dry_run_lists_what_would_go(solera, merged) -> None:
    out, _ = merged
    (out / ".cache").mkdir()
    (out / ".cache" / "junk").write_text("x")
    said = solera("push", out, "org/name", "--dry-run", "--json")
    assert said.code == 0
    assert {"model.safetensors", "config.json", "README.md"} <= set(said.data["files"])
    assert not any("junk" in name for name in said.data["files"])
    assert said.data["bytes"] == sum(said.data["files"].values())
    assert said.data["url"] == ""
    assert "would push" in solera("push", out, "org/name", "--dry-run").out


@pytest.mark.parametrize(
    ("folder", "repo", "code"), [("out", "name", 2), ("none", "org/name", 3), ("bare", "org/name", 3)]
)
def test_push_refusals(solera, merged, tmp_path, folder, repo, code) -> None:
    (tmp_path / "bare").mkdir()
    said = solera("push", tmp_path / folder, repo, "--dry-run")
    assert said.code == code


def test_push_offline_is_refused_clearly(solera, merged, monkeypatch) -> None:
    from huggingface_hub import HfApi

    def refuse(*_args, **_kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(HfApi, "create_repo", refuse)
    said = solera("push", merged[0], "org/name")
    assert said.code == 5
    assert "hf auth login" in said.err


def test_try_without_a_manifest(solera, zoo) -> None:
    said = solera("try", zoo(experts=0)["base"], "--prompt", "x")
    assert said.code == 3
    assert "manifest" in said.err


def test_doctor(solera) -> None:
    found = solera("doctor", "--json").data
    assert found["cores"] >= 1
    assert found["hub_offline"] is True
    assert {"hf", "lora", "demo", "all"} <= set(found["extras"])
    assert found["extras"]["hf"]["install"] == 'pip install "solera[hf]"'
    assert "torch" in solera("doctor").out


def test_doctor_says_what_is_missing(solera, monkeypatch) -> None:
    from solera.app import machine

    real = machine._version
    monkeypatch.setattr(machine, "_version", lambda name: None if name == "transformers" else real(name))
    found = solera("doctor", "--json").data["extras"]
    assert found["hf"]["present"] is False
    assert found["hf"]["missing"][0].startswith("transformers")
    assert found["all"]["present"] is False
    assert found["lora"]["present"] is True
