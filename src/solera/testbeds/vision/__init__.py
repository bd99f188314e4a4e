"""vision-8: a small vision transformer, eight experts of it, and the images that they are judged on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from solera.testbeds.contract import Testbed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from solera.evaluate.contract import Split, Task
    from solera.testbeds.contract import Built, Size
    from solera.testbeds.vision.sources import Source
    from solera.types import Event


def _make(folder: Path, size: Size, seed: int, listener: Callable[[Event], None], source: Source | None = None) -> None:
    from solera.testbeds.vision.making import make
    from solera.testbeds.vision.sources import DIGITS, Source

    make(folder, size, seed, listener, source or Source(DIGITS))


def _load(folder: Path) -> Any:
    from solera.testbeds.vision.network import load

    return load(folder)


def _tasks(built: Built, split: Split) -> tuple[Task, ...]:
    from solera.testbeds.vision.scoring import tasks

    return tasks(built.folder, split)


def _of(text: str) -> Testbed:
    """The testbed on other images: ``fashion``, a folder of IDX files, or the digest of one."""
    from solera.testbeds.vision.sources import DIGITS, named

    source = named(text)
    if source.name == DIGITS:
        return TESTBED
    about = f"{TESTBED.about.partition(' on images')[0]} on images of {source.name}"
    return replace(TESTBED, name=f"{TESTBED.name}:{source.name}", about=about, make=partial(_make, source=source))


TESTBED = Testbed(
    name="vision-8",
    about="a small ViT and 8 experts, full and LoRA, on images of digits; of others: vision-8:fashion, vision-8:FOLDER",
    make=_make,
    load=_load,
    tasks=_tasks,
    minutes={"tiny": 0.1, "small": 5, "full": 600},
    nbytes={"tiny": 4 << 20, "small": 16 << 20, "full": 1 << 30},
    version=2,
    of=_of,
)
"""What `solera.testbeds` knows of it; torch is imported when it is used."""
