"""seeds-4: four small networks, each trained from several random seeds and on disjoint label sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from solera.testbeds.contract import Testbed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from solera.evaluate.contract import Split, Task
    from solera.testbeds.contract import Built, Size
    from solera.types import Event


def _make(folder: Path, size: Size, seed: int, listener: Callable[[Event], None]) -> None:
    from solera.testbeds.seeds.making import make

    make(folder, size, seed, listener)


def _load(folder: Path) -> Any:
    from solera.testbeds.seeds.networks import load

    return load(folder)


def _tasks(built: Built, split: Split) -> tuple[Task, ...]:
    from solera.testbeds.seeds.scoring import tasks

    return tasks(built.folder, split)


TESTBED = Testbed(
    name="seeds-4",
    about="an MLP, a CNN, a ViT and a GRU, each from several seeds and on disjoint labels",
    make=_make,
    load=_load,
    tasks=_tasks,
    minutes={"tiny": 0.1, "small": 3, "full": 120},
    nbytes={"tiny": 2 << 20, "small": 12 << 20, "full": 1 << 28},
    family=False,
)
"""What `solera.testbeds` knows of it; torch is imported when it is used."""
