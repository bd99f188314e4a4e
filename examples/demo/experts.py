"""The base and four experts of the testbed vision-8: taken from its cache, or trained here in a minute or two.

A cut of the testbed: the same images, the same network, the same schedules and seeds as `vision-8` of size small, with
four of its eight experts and nothing else. What is trained here is equal to what the whole testbed would hold.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from solera import testbeds
from solera.errors import CorruptFile, NotFound
from solera.testbeds.stages import Finished, Stage, begin, run
from solera.testbeds.vision.making import PLANS, Plan, write_images
from solera.testbeds.vision.training import plain, train_base, train_expert
from solera.types import Event

TASKS = ("permuted", "rotated", "inverted", "parity")
FULL = PLANS["small"]
Listener = Callable[[Event], None]


def make_all(folder: Path, listener: Listener, plan: Plan = FULL) -> str:
    """Put ``data``, ``base`` and ``experts`` into `folder`; says where they came from. Done parts are kept."""
    if plan == FULL and (whole := _cached()) is not None:
        for part in ("data", "base", *(f"experts/{task}" for task in TASKS)):
            shutil.copytree(whole / part, folder / part, dirs_exist_ok=True)
        return f"taken from the testbed in {whole}"
    return "trained here" if train(folder, listener, plan) else "trained before; `make clean` removes them"


def _cached() -> Path | None:
    """The whole testbed, where somebody built it."""
    try:
        return testbeds.open_built("vision-8", size="small").folder
    except (NotFound, CorruptFile):
        return None


def train(folder: Path, listener: Listener, plan: Plan) -> bool:
    """Train what is missing, two experts at a time, one thread each; False if nothing was."""
    done = []

    def stages(title: str, *each: Stage) -> dict[str, Finished]:
        return run(folder, each, heard, title=title, workers=min(len(each), plan.workers))

    def heard(event: Event) -> None:
        done.append(event.kind)
        listener(event)

    begin(folder, "demo")
    common = {"folder": folder, "seed": 0}
    counts = (plan.held_out, plan.train)
    stages("images", Stage("data", write_images, {"side": plan.shape.side, "counts": counts, "seed": 0}))
    pretrain = {"shape": asdict(plan.shape), "schedule": plain(plan.base), "count": plan.base_images}
    stages("base", Stage("base", train_base, {**common, **pretrain}))
    options = {**common, "schedule": plain(plan.expert)}
    stages("experts", *(Stage(f"experts/{task}", train_expert, {**options, "task": task}) for task in TASKS))
    return bool(done)
