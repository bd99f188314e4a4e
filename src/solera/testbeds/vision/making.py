"""Build vision-8: images, base, then experts, adapters and ceilings two at a time, then what is measured of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from solera.errors import CorruptFile
from solera.testbeds import gate
from solera.testbeds.contract import Size
from solera.testbeds.making import Made, declare
from solera.testbeds.stages import Finished, Stage, Tell, run, single_thread
from solera.testbeds.vision import figures, images, sources
from solera.testbeds.vision.network import Shape
from solera.testbeds.vision.sources import DIGITS, Source
from solera.testbeds.vision.training import Schedule, plain, train_adapter, train_base, train_ceiling, train_expert
from solera.testbeds.vision.views import HELD_IN
from solera.types import Event

TASKS = tuple(view.name for view in HELD_IN)


@dataclass(frozen=True, slots=True)
class Plan:
    """All numbers of one size.

    Attributes:
        held_out: test images; half as many for validation. train: at most so many images for training.
        base_images: so many of them for the base. It stops early, at a constant rate, on a part of the images, so that
            what experts learn is in part common to them and in part their own, as fine-tunes of a published model.
        rank: of the adapters. judged: whether ceilings are measured and the quality gate is asserted.
        workers: training processes at a time.
    """

    shape: Shape
    base: Schedule
    expert: Schedule
    adapter: Schedule
    ceiling: Schedule
    base_images: int
    held_out: int = 450
    train: int | None = None
    rank: int = 4
    judged: bool = True
    workers: int = 2


PLANS: dict[Size, Plan] = {
    "tiny": Plan(
        shape=Shape(hidden=16, layers=2, heads=2, inner=24),
        base=Schedule(12, 3e-3, rows=40, last=1.0),
        expert=Schedule(6, 3e-3, rows=16),
        adapter=Schedule(2, 3e-3, rows=16),
        ceiling=Schedule(1, 3e-3),
        base_images=100,
        held_out=60,
        train=200,
        judged=False,
        workers=1,
    ),
    "small": Plan(
        shape=Shape(),
        base=Schedule(350, 2e-3, rows=128, last=1.0),
        expert=Schedule(700, 1e-3, rows=64),
        adapter=Schedule(350, 3e-3, rows=64),
        ceiling=Schedule(1000, 1e-3, rows=64),
        base_images=256,
    ),
    "full": Plan(
        shape=Shape(side=28, hidden=128, layers=6, heads=8, inner=256),
        base=Schedule(1000, 1e-3, rows=256, last=1.0, shift=2, gpu=True),
        expert=Schedule(2000, 5e-4, rows=128, shift=2, gpu=True),
        adapter=Schedule(1500, 1e-3, rows=128, shift=2, gpu=True),
        ceiling=Schedule(4000, 5e-4, rows=128, shift=2, gpu=True),
        base_images=4000,
        held_out=2000,
        rank=8,
    ),
}


def make(folder: Path, size: Size, seed: int, listener: Callable[[Event], None], source: Source) -> None:
    """Build into `folder`, or go on with what an interrupted build left there.

    Raises:
        NotFound, CorruptFile: the images of `source` are not there, or not usable. RunError: small or full misses its
            gate.
    """
    plan = PLANS[size]
    common = {"folder": folder, "seed": seed}
    counts = plan.held_out, plan.train
    options = {"side": plan.shape.side, "counts": counts, "seed": seed, "source": sources.asked(source)}
    data = run(folder, [Stage("data", write_images, options)], listener, title="images", workers=1)["data"]
    shape = asdict(plan.shape)
    pretrain = {**common, "shape": shape, "schedule": plain(plan.base), "count": plan.base_images}
    base = Stage("base", train_base, pretrain)
    done = run(folder, [base], listener, title="base", workers=1)
    done |= run(folder, _stages(plan, common), listener, title="experts", workers=plan.workers)
    facts = {"data": data.facts, "shape": shape, **_trained(done), **_costs(done)}
    declare(folder, Made("base", _paths("experts"), _paths("adapters"), facts=_measured(folder, plan, facts)))


def _paths(group: str) -> dict[str, str]:
    return {task: f"{group}/{task}" for task in TASKS}


def _stages(plan: Plan, common: Mapping[str, Any]) -> list[Stage]:
    """Everything that needs the base alone, the longest first."""
    each = [{**common, "task": task} for task in TASKS]
    ceiling = {"shape": asdict(plan.shape), "schedule": plain(plan.ceiling)}
    adapter = {"rank": plan.rank, "schedule": plain(plan.adapter)}
    ceilings = [Stage(f"ceilings/{o['task']}", train_ceiling, {**o, **ceiling}) for o in each if plan.judged]
    experts = [Stage(f"experts/{o['task']}", train_expert, {**o, "schedule": plain(plan.expert)}) for o in each]
    return [*ceilings, *experts, *(Stage(f"adapters/{o['task']}", train_adapter, {**o, **adapter}) for o in each)]


def write_images(
    out: Path,
    _tell: Tell,
    *,
    side: int,
    counts: tuple[int, int | None],
    seed: int,
    source: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Part the source images, at the size that networks see, and keep them.

    Args:
        out: gets the file.
        side: of the images that are kept.
        counts: held-out images at most, and images for training.
        seed: of the order.
        source: as `sources.asked` gives it; default: digits.

    Raises:
        CorruptFile: too few of them differ.
    """
    source = source or sources.asked(Source(DIGITS))
    found = images.pooled(sources.opened(source["folder"]), side)
    held_out, train = counts
    parts = images.split(found, seed, min(held_out, len(found) // 4), train)
    if empty := [part for part, those in parts.items() if not len(those)]:
        got = f"{len(set(found.digests()))} different images of {side} x {side}"
        raise CorruptFile(f"there are too few images for {empty[0]}.", where=source["folder"], got=got)
    images.write(out, parts)
    return {"source": source["name"], "digest": source["digest"], "images": {p: len(x) for p, x in parts.items()}}


def _trained(done: Mapping[str, Finished]) -> dict[str, Any]:
    groups = ("experts", "adapters", "ceilings")
    found = {g: {n.split("/")[1]: f.facts["accuracy"] for n, f in done.items() if n.startswith(g)} for g in groups}
    return {"base": done["base"].facts, **{group: found[group] for group in groups}}


def _costs(done: Mapping[str, Finished]) -> dict[str, Any]:
    groups = ("base", "experts", "adapters", "ceilings")
    cpu = {group: round(sum(f.cpu for n, f in done.items() if n.startswith(group)), 1) for group in groups}
    return {"cpu_seconds": {**cpu, "all": round(sum(cpu.values()), 1)}}


def _measured(folder: Path, plan: Plan, facts: dict[str, Any]) -> dict[str, Any]:
    """Everything that is measured of the finished models, and the gate."""
    with single_thread():
        facts |= {"average": figures.average(folder, TASKS), "geometry": figures.geometry(folder, TASKS)}
        facts |= {"sweep": figures.sweep(folder, TASKS)} if plan.judged else {}
    if not plan.judged:
        return facts
    best = max(facts["sweep"], key=lambda row: row["mean"])
    held_in = {
        title: mean(facts[title][task] for task in TASKS) for title in ("base", "experts", "adapters", "average")
    }
    bars = figures.gate(facts)
    source = facts["data"]["source"]
    gate.require("vision-8" if source == DIGITS else f"vision-8:{source}", bars)
    return {**facts, "means": held_in, "best_coefficient": best["coefficient"], "gate": gate.judged(bars)}
