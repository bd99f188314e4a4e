"""`moe-8`: a Mixtral and a Qwen3-MoE, eight experts each and two for a token, trained on the mixture of lm-6.

The Mixtral is the base, the Qwen3-MoE an extra: what merges here is the experts within a model. Tasks are those of
lm-6; no model is an expert of one task, so scores stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from solera.evaluate.contract import Split, Task
from solera.testbeds.contract import Built, Size, Testbed
from solera.testbeds.gate import Bar, judged, require
from solera.testbeds.language import lm, lm_stages, moe_stages
from solera.testbeds.language.sizes import sizes
from solera.testbeds.making import Made, declare
from solera.testbeds.stages import Stage, run
from solera.types import Event

MODELS: tuple[moe_stages.Kind, ...] = ("mixtral", "qwen3")


def make(folder: Path, size: Size, seed: int, listener: Callable[[Event], None]) -> None:
    """Build the testbed; finished stages of an earlier call are kept.

    Raises:
        RunError: small or full misses its gate.
    """
    data = str(folder / lm.DATA)
    given = {"data": data, "size": size, "seed": seed}
    go = partial(run, folder, listener=listener)
    done = go([Stage(lm.DATA, lm_stages.data, {"size": size, "seed": seed})], title="data", workers=1)
    training = [Stage(kind, moe_stages.trained, {**given, "kind": kind}) for kind in MODELS]
    done |= go(training, title="training", workers=1 if size == "tiny" else 2)
    options = {"data": data, "models": {kind: str(folder / kind) for kind in MODELS}}
    done |= go([Stage("measured", moe_stages.measured, options)], title="measurement", workers=1)
    found = {**done["measured"].facts, "cpu": {name: round(stage.cpu, 1) for name, stage in done.items()}}
    if size != "tiny":
        found["gate"] = _gate(found, sizes(size).jobs)
    declare(folder, Made("mixtral", {}, extras={"qwen3": "qwen3"}, facts=found))


def _gate(found: Mapping[str, Any], jobs: Collection[str]) -> dict[str, Any]:
    """Both models can do the tasks, and no expert lies idle."""
    bars = {}
    for kind in MODELS:
        held = [score for task, score in found[kind]["scores"].items() if task in jobs]
        bars[f"{kind}: exact match"] = Bar(sum(held) / len(held), ">=", 60, "points")
        bars[f"{kind}: least load of an expert"] = Bar(moe_stages.balance(found[kind]["load"]), ">=", 0.01)
    require("moe-8", bars)
    return judged(bars)


def tasks(built: Built, split: Split) -> tuple[Task, ...]:
    """The tasks of lm-6."""
    return _grouped(built, lm.tasks(built, split))


def written(built: Built, split: Split) -> tuple[Task, ...]:
    """The same tasks scored by what the model writes."""
    return _grouped(built, lm.generating_tasks(built, split))


def _grouped(built: Built, tasks: Iterable[Task]) -> tuple[Task, ...]:
    """Trained for or not: no expert's name tells it here."""
    known = sizes(built.size).jobs
    return tuple(replace(t, group="held-in" if t.name.partition("/")[0] in known else "unseen") for t in tasks)


def _settings(size: Size) -> object:
    """Of the models, and of the tasks."""
    return moe_stages.SIZES[size], sizes(size)


TESTBED = Testbed(
    name="moe-8",
    about="a Mixtral and a Qwen3-MoE with eight experts each, trained on the tasks of lm-6",
    make=make,
    load=lm.load,
    tasks=tasks,
    minutes={"tiny": 0.2, "small": 7, "full": 120},
    nbytes={"tiny": 1_000_000, "small": 12_000_000, "full": 80_000_000},
    family=False,
    settings=_settings,
    written=written,
)
