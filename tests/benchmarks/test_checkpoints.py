"""The benchmark's own checkpoints: valid, seeded, children of their base."""

from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def checkpoints(script):
    return script("checkpoints")


def _model(folder):
    from safetensors.torch import load_file

    return {name: t for path in sorted(folder.glob("*.safetensors")) for name, t in load_file(path).items()}


def test_experts_are_near_their_base(checkpoints, tmp_path):
    checkpoints.write(tmp_path, checkpoints.SIZES["tiny"], 2)
    base, first, second = (_model(tmp_path / name) for name in ("base", "e0", "e1"))
    assert list(base) == list(first)
    assert sum(t.numel() for t in base.values()) == checkpoints.parameters(checkpoints.SIZES["tiny"])
    name = "model.layers.1.mlp.up_proj.weight"
    apart = (first[name].float() - base[name].float()).std() / base[name].float().std()
    assert 0.02 < apart < 0.2
    assert not torch.equal(first[name], second[name])


def test_the_same_seed_gives_the_same_bytes_in_shards_or_not(checkpoints, tmp_path):
    size = checkpoints.SIZES["tiny"]
    checkpoints.write(tmp_path / "a", size, 1, seed=3, threads=1)
    checkpoints.write(tmp_path / "b", size, 1, seed=3, shard_mb=0)
    assert len(list((tmp_path / "b" / "base").glob("*.safetensors"))) > 1
    one, many = _model(tmp_path / "a" / "e0"), _model(tmp_path / "b" / "e0")
    assert one.keys() == many.keys()
    assert all(torch.equal(one[name], many[name]) for name in one)


def test_finished_models_are_kept_and_missing_ones_added(checkpoints, tmp_path):
    size = checkpoints.SIZES["tiny"]
    checkpoints.write(tmp_path, size, 1)
    written = (tmp_path / "e0" / "model.safetensors").stat().st_mtime_ns
    checkpoints.write(tmp_path, size, 2)
    assert (tmp_path / "e0" / "model.safetensors").stat().st_mtime_ns == written
    assert (tmp_path / "e1" / "model.safetensors").exists()


def test_shapes_have_the_sizes_that_they_are_named_for(checkpoints):
    for name in ("0.1", "0.5", "1.1", "3", "7"):
        billions = checkpoints.parameters(checkpoints.SIZES[name]) / 1e9
        assert abs(billions - float(name)) < 0.06 * float(name) + 0.01, (name, billions)
    assert abs(sum(1 for _ in checkpoints.tensors(checkpoints.SIZES["moe"])) - 19_000) < 200
    assert abs(sum(1 for _ in checkpoints.tensors(checkpoints.SIZES["moe-90k"])) - 90_000) < 200
