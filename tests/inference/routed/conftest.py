"""Tiny families of models, and packs of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from solera.app import PackMake, pack_make
from solera.testing.models import build, expert_of

from .inputs import NAMES, Lesson, images, texts


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Path]]:
    """Make a base and three experts of an architecture, once: {"base": folder, "one": folder, ...}."""
    made: dict[str, dict[str, Path]] = {}

    def of(architecture: str) -> dict[str, Path]:
        if architecture not in made:
            root = tmp_path_factory.mktemp(architecture)
            base = build(architecture, root / "base", layers=2)
            experts = {name: expert_of(base, root / name, seed=k + 1, scale=0.1) for k, name in enumerate(NAMES)}
            made[architecture] = {"base": base, **experts}
        return made[architecture]

    return of


@pytest.fixture(scope="session")
def packed(family: Callable[[str], dict[str, Path]], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Pack a family, once for each way: `packed("vit", "twin", router=True, rank=2)`."""
    made: dict[str, Path] = {}

    def of(architecture: str, method: str, *, router: bool = False, **parameters: object) -> Path:
        key = f"{architecture}-{method}-{router}-{sorted(parameters.items())}"
        if key not in made:
            models = family(architecture)
            inputs = [
                {"pixel_values": images(k)} if architecture == "vit" else {"input_ids": texts(k)} for k in range(3)
            ]
            lessons = [[Lesson(**each)] for each in inputs] if router else None
            wanted = PackMake(tuple(str(models[n]) for n in NAMES), str(models["base"]), method, parameters)
            made[key] = pack_make(wanted, tmp_path_factory.mktemp("packs") / "pack", lessons=lessons).out
        return made[key]

    return of
