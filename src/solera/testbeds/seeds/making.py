"""Build seeds-4: every network from two seeds on all digits, and from two more on disjoint halves of the labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from solera.testbeds import gate
from solera.testbeds.contract import Size
from solera.testbeds.gate import Bar
from solera.testbeds.making import Made, declare
from solera.testbeds.seeds import networks, paths, scoring
from solera.testbeds.stages import Finished, Stage, Tell, run, single_thread
from solera.testbeds.vision import images
from solera.testbeds.vision.making import write_images
from solera.testbeds.vision.training import Schedule, fit, plain
from solera.testbeds.vision.views import View
from solera.types import Event

RUNS = {"a": "digits", "b": "digits", "low": "low", "high": "high"}
"""Run -> the label set that it is trained on; each has a random seed of its own."""
PAIRS = (("a", "b"), ("low", "high"))
"""Runs whose merge is of interest."""
DIGITS = View("digits", 0, networks.CLASSES, lambda x: x, lambda y: y)
MODELS = tuple(f"{kind}-{name}" for kind in networks.KINDS for name in RUNS)


@dataclass(frozen=True, slots=True)
class Plan:
    """All numbers of one size.

    Attributes:
        hidden, schedules: by kind of network. held_out: test images, half as many for validation.
        train: at most so many images for training. judged: whether the quality gate is asserted.
    """

    hidden: Mapping[str, int]
    schedules: Mapping[str, Schedule]
    side: int = 8
    held_out: int = 450
    train: int | None = None
    judged: bool = True
    workers: int = 2
    steps: int = 10


PLANS: dict[Size, Plan] = {
    "tiny": Plan(
        hidden={"mlp": 12, "cnn": 4, "vit": 8, "gru": 8},
        schedules=dict.fromkeys(networks.KINDS, Schedule(4, 3e-3, rows=16)),
        held_out=60,
        train=200,
        judged=False,
        workers=1,
        steps=2,
    ),
    "small": Plan(
        hidden={"mlp": 128, "cnn": 24, "vit": 48, "gru": 64},
        schedules={
            "mlp": Schedule(1000, 3e-3, rows=64),
            "cnn": Schedule(500, 3e-3, rows=64),
            "vit": Schedule(800, 2e-3, rows=64),
            "gru": Schedule(700, 5e-3, rows=64),
        },
    ),
    "full": Plan(
        hidden={"mlp": 512, "cnn": 64, "vit": 128, "gru": 256},
        schedules=dict.fromkeys(networks.KINDS, Schedule(6000, 1e-3, rows=128, shift=2, gpu=True)),
        side=28,
        held_out=2000,
    ),
}


def make(folder: Path, size: Size, seed: int, listener: Callable[[Event], None]) -> None:
    """Build into `folder`, or go on with what an interrupted build left there."""
    plan = PLANS[size]
    data = Stage("data", write_images, {"side": plan.side, "counts": (plan.held_out, plan.train), "seed": seed})
    source = run(folder, [data], listener, title="images", workers=1)["data"]
    done = run(folder, _stages(folder, plan, seed), listener, title="networks", workers=plan.workers)
    facts = {"data": source.facts, "hidden": dict(plan.hidden), **_known(done), "paths": _paths(folder, plan)}
    if plan.judged:
        bars = judged(facts)
        gate.require("seeds-4", bars)
        facts["gate"] = gate.judged(bars)
    # No network is the parent of another; the first stands in for the base, as the frame that others are aligned to.
    declare(folder, Made(f"models/{MODELS[0]}", {name: f"models/{name}" for name in MODELS}, facts=facts))


def _stages(folder: Path, plan: Plan, seed: int) -> list[Stage]:
    kinds = ("vit", "cnn", "gru", "mlp")  # the longest first
    return [_stage(folder, plan, seed, kind, name) for kind in kinds for name in RUNS]


def _stage(folder: Path, plan: Plan, seed: int, kind: str, name: str) -> Stage:
    options = {
        "folder": folder,
        "kind": kind,
        "labels": RUNS[name],
        "hidden": plan.hidden[kind],
        "side": plan.side,
        "schedule": plain(plan.schedules[kind]),
        "seed": 1000 * (seed + 1) + MODELS.index(f"{kind}-{name}"),
    }
    return Stage(f"models/{kind}-{name}", train, options)


def train(
    out: Path,
    tell: Tell,
    *,
    folder: Path,
    kind: str,
    labels: str,
    hidden: int,
    side: int,
    schedule: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """One network from its own random weights, on the images of one label set."""
    model = networks.fresh(kind, side, hidden, seed)
    source = scoring.only(images.read(folder, "train"), scoring.LABELS[labels])
    fit(model, [DIGITS], source, Schedule(**schedule), seed, tell)
    networks.save(model, out, side=side, hidden=hidden)
    return {task.name: 100 * mean(task.measure(model)["accuracy"]) for task in scoring.tasks(folder, "test")}


def _known(done: Mapping[str, Finished]) -> dict[str, Any]:
    accuracy = {name: done[f"models/{name}"].facts for name in MODELS}
    return {"accuracy": accuracy, "cpu_seconds": {"all": round(sum(f.cpu for f in done.values()), 1)}}


def _paths(folder: Path, plan: Plan) -> dict[str, Any]:
    """What naive interpolation gives between the runs of each pair."""
    with single_thread():
        names = [(f"{kind}-{one}", f"{kind}-{two}") for kind in networks.KINDS for one, two in PAIRS]
        return {f"{one} {two}": asdict(paths.straight(folder, one, two, plan.steps)) for one, two in names}


def judged(facts: Mapping[str, Any]) -> dict[str, Bar]:
    """The bounds of the gate: networks that have learned, and seeds that really lie apart."""
    accuracy = facts["accuracy"]
    own = {name: accuracy[name][RUNS[name.split("-")[1]]] for name in MODELS}
    same = {title: path["loss_barrier"] for title, path in facts["paths"].items() if "-a " in title}
    weakest, lowest = min(own, key=lambda n: own[n]), min(same, key=lambda n: same[n])
    return {
        f"least accuracy on its own labels ({weakest})": Bar(own[weakest], ">=", 90, "percent"),
        f"least barrier between seeds ({lowest})": Bar(same[lowest], ">=", 0.1, "nats"),
    }
