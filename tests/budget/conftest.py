"""Models whose changes are worth different amounts, block by block; sketches in a folder of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from solera.app.analyzing import analyze
from solera.recipe.budgets import budget_of
from solera.recipe.values import Recipe
from tests.conftest import llama_config, llama_shapes, recipe

VOCAB, LAYERS = 12_500, 2  # 200,000 elements in an embedding: four blocks


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the user's sketches."""
    monkeypatch.setenv("SOLERA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def save(folder: Path, tensors: dict[str, torch.Tensor], *, tied: bool = False, shards: int = 1) -> Path:
    """Write a model, in one file or several with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(llama_config(LAYERS, tied=tied, vocab=VOCAB)))
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    names = list(tensors)
    index = {
        name: f"model-{1 + i * shards // len(names):05d}-of-{shards:05d}.safetensors" for i, name in enumerate(names)
    }
    for file in sorted(set(index.values())):
        save_file({n: tensors[n] for n in names if index[n] == file}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return folder


def base_tensors(seed: int = 0, *, tied: bool = False) -> dict[str, torch.Tensor]:
    """The base, in float32."""
    generator = torch.Generator().manual_seed(seed)
    shapes = llama_shapes(LAYERS, tied=tied, vocab=VOCAB)
    return {n: torch.randn(s, generator=generator) * 0.1 for n, s in shapes.items()}


def changed(base: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """A fine-tune: every block of 65,536 elements changes by an amount of its own, over a hundredfold range."""
    generator = torch.Generator().manual_seed(1000 + seed)
    made = {}
    for name, values in base.items():
        noise = torch.randn(values.numel(), generator=generator)
        for start in range(0, values.numel(), 65_536):
            noise[start : start + 65_536] *= 10 ** (-2 - 2 * float(torch.rand(1, generator=generator)))
        made[name] = values + noise.reshape(values.shape)
    return made


Zoo = dict[str, Path]


@pytest.fixture
def family(tmp_path: Path) -> Callable[..., Zoo]:
    """Make and sketch a base and experts: {"base": folder, "e0": folder, ...}."""

    def make(
        *,
        experts: int = 3,
        dtype: torch.dtype = torch.float32,
        tied: bool = False,
        shards: int = 1,
        sketch: bool = True,
    ) -> Zoo:
        base = base_tensors(tied=tied)
        made = {"base": base, **{f"e{k}": changed(base, k) for k in range(experts)}}
        zoo = {
            name: save(tmp_path / name, {n: t.to(dtype) for n, t in tensors.items()}, tied=tied, shards=shards)
            for name, tensors in made.items()
        }
        if sketch:
            analyze([zoo[f"e{k}"] for k in range(experts)], zoo["base"], threads=1)
        return zoo

    return make


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Zoo, Path]:
    """A base and three experts in float32 that no test changes, and the cache with their sketches."""
    root = tmp_path_factory.mktemp("standing")
    base = base_tensors()
    zoo = {"base": save(root / "base", base), **{f"e{k}": save(root / f"e{k}", changed(base, k)) for k in range(3)}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOLERA_CACHE", str(root / "cache"))
        analyze([zoo[f"e{k}"] for k in range(3)], zoo["base"], threads=1)
        analyze([zoo["e1"], zoo["e2"]], zoo["e0"], threads=1)
    return zoo, root / "cache"


@pytest.fixture
def zoo(standing: tuple[Zoo, Path], monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Zoo:
    """The standing models; sketched against the base, and the others against the first expert."""
    monkeypatch.setenv("SOLERA_CACHE", str(standing[1]))
    return standing[0]


def asked(method: str, zoo: Zoo, budget: str | int | None, *, base: bool = True, **options: object) -> Recipe:
    """A recipe over all experts, with a budget."""
    variant = options.pop("variant", None)
    extra = {key: options.pop(key) for key in ("floor", "floors", "sketches") if key in options}
    experts = [path for name, path in zoo.items() if name != "base"]
    made = recipe(method, experts, base=zoo["base"] if base else None, variant=variant, **options)  # type: ignore[arg-type]
    return made if budget is None else replace(made, budget=budget_of(budget, **extra))  # type: ignore[arg-type]
