"""Tiny mixtures of experts, whose routers are sure enough of themselves, and data for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from solera.learn.statistics import Batch, measure
from solera.learn.statistics.loading import load_model
from solera.testing.models import build
from solera.types import ModelRef

EXPERTS = 4
KINDS = ["router_frequency", "router_gram", "expert_activation", "expert_output"]
COUNTS = {"mixtral": "num_local_experts", "qwen3_moe": "num_experts", "qwen2_moe": "num_experts"}
FAMILIES = ("mixtral", "qwen3_moe")


def batches(rows: int = 12, seed: int = 0, batch: int = 4) -> list[Batch]:
    """Token ids, some of them padding."""
    ids = torch.randint(1, 60, (rows, 7), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    pairs = zip(ids.split(batch), mask.split(batch), strict=True)
    return [Batch({"input_ids": i, "attention_mask": m}) for i, m in pairs]


@pytest.fixture(scope="session")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """(architecture, fused) -> a folder with a model of two layers."""
    root = tmp_path_factory.mktemp("moe")

    @cache
    def make(name: str, *, fused: bool = False) -> Path:
        folder = root / f"{name}-{fused}"
        own = {"mlp_only_layers": []} if name.startswith("qwen") else {}
        return build(name, folder, layers=2, memory_layout=fused, norm_topk_prob=True, **{COUNTS[name]: EXPERTS}, **own)

    return make


@pytest.fixture(scope="session")
def measured_of(model_of: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """(architecture, fused) -> a folder of all statistics."""
    root = tmp_path_factory.mktemp("moe-statistics")

    @cache
    def make(name: str, *, fused: bool = False) -> Path:
        return measured(model_of(name, fused=fused), root / f"{name}-{fused}")

    return make


def measured(folder: Path, out: Path) -> Path:
    """Measure every kind."""
    measure(ModelRef(str(folder)), batches(), KINDS, out)
    return out


def logits(folder: Path | str) -> torch.Tensor:
    """What transformers makes of the folder, nothing missing and nothing left over."""
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    return logits_of(model.eval())


def logits_of(model: Any) -> torch.Tensor:
    """Logits on fixed tokens."""
    with torch.no_grad():
        return model(input_ids=batches(seed=5)[0].inputs["input_ids"], use_cache=False).logits


def live(folder: Path | str) -> Any:
    """The model as a module."""
    return load_model(ModelRef(str(folder)))


def changed(folder: Path, out: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """A copy of a model with its tensors changed in place."""
    import shutil

    shutil.copytree(folder, out)
    tensors = load_file(out / "model.safetensors")
    change(tensors)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, out / "model.safetensors", {"format": "pt"}
    )
    return out


def expert_names(name: str, layer: int, expert: int) -> list[str]:
    """Gate, up and down of one expert in files that hold them apart."""
    if name == "mixtral":
        return [f"model.layers.{layer}.block_sparse_moe.experts.{expert}.{w}.weight" for w in ("w1", "w3", "w2")]
    return [f"model.layers.{layer}.mlp.experts.{expert}.{p}_proj.weight" for p in ("gate", "up", "down")]


def router_name(name: str, layer: int) -> str:
    """The router's weight in files."""
    return f"model.layers.{layer}.{'block_sparse_moe' if name == 'mixtral' else 'mlp'}.gate.weight"
