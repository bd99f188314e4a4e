"""vision-8: a small vision transformer, eight experts of it, and the images that they are judged on."""

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
    from solera.testbeds.vision.making import make

    make(folder, size, seed, listener)


def _load(folder: Path) -> Any:
    from solera.testbeds.vision.network import load

    return load(folder)


def _tasks(built: Built, split: Split) -> tuple[Task, ...]:
    from solera.testbeds.vision.scoring import tasks

    return tasks(built.folder, split)


TESTBED = Testbed(
    name="vision-8",
    about="a small ViT and 8 experts, full and LoRA, on images of digits",
    make=_make,
    load=_load,
    tasks=_tasks,
    minutes={"tiny": 0.1, "small": 5, "full": 600},
    nbytes={"tiny": 4 << 20, "small": 16 << 20, "full": 1 << 30},
    version=2,
)
"""What `solera.testbeds` knows of it; torch is imported when it is used."""
