"""A plan under a budget: sketches in place of readings, the best blocks chosen, and what is left out said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from solera.checkpoints.contract import Checkpoint
from solera.checkpoints.sketch import LeafSketch
from solera.checkpoints.sketch import Place as Spot
from solera.errors import PlanError
from solera.plan.budget_choice import Unit, choose, floor_bytes
from solera.plan.budget_inputs import OUTSIDE, Inputs, Site, base_files, collect
from solera.plan.budget_methods import coefficients, ranked, why_refused
from solera.plan.budget_sketches import Kept, find, missing
from solera.plan.budget_thresholds import Ranking, resolution
from solera.plan.budget_values import BudgetPlan, Found, Mass, Ranks, Stretch
from solera.plan.explain import size
from solera.plan.expressions import tasks_of
from solera.plan.tasks import LeafTask, OutputTensor, Plan
from solera.recipe.values import Budget
from solera.types import CELL, Scope


def budgeted(plan: Plan, budget: Budget) -> Plan:
    """The plan with a budget spent on it; the same plan where everything may be read.

    Raises:
        PlanError: a method that cannot do with part of its inputs, a budget below what must be read, no base, a sketch
            that is missing, stale or of another base.
    """
    others = _reads_of_others(plan)
    limit = _limit(budget, others)
    if limit is None or limit >= plan.cost.read_bytes:
        return replace(plan, budget=BudgetPlan(limit, others, others))
    _refuse(plan)
    shelf = Shelf(plan.models, tuple(Path(place).expanduser() for place in budget.sketches))
    inputs = collect(plan.outputs, shelf.leaves, base_files(plan.outputs))
    _spend(inputs, budget, limit)
    made = _with_thresholds(_spent(inputs, limit, shelf), plan, inputs, shelf)
    stages = tuple(s for s in plan.stages if (s.key, s.step) not in made.populations)
    cost = replace(plan.cost, read_bytes=made.base_bytes + made.planned, passes=1, held="thresholds from sketches"
                   if made.thresholds else plan.cost.held)  # fmt: skip
    return replace(plan, budget=made, stages=stages, cost=cost, digest=_digest(plan, made))


class Shelf:
    """The sketches of this plan's models, found once each."""

    def __init__(self, models: Mapping[str, Checkpoint], places: Sequence[Path]) -> None:
        """Look in `places` first."""
        self._models, self._places = models, places
        self._known: dict[tuple[str, str], Kept | None] = {}
        self._leaves: dict[tuple[str, str], dict[Spot, LeafSketch]] = {}

    def leaves(self, model: str, base: str) -> Mapping[Spot, LeafSketch]:
        """The leaves of the sketch of a model against a base; none for an adapter that has no sketch.

        Raises:
            NoSketch: of a plain model.
        """
        key = model, base
        if key not in self._known:
            kept = find(self._models[model], self._models[base], self._places)
            if kept is None and not self._models[model].ref.loras:
                raise missing(self._models[model], self._models[base], self._places)
            self._known[key] = kept
            self._leaves[key] = {} if kept is None else kept.sketch.by_place()
        return self._leaves[key]

    def lack(self, model: str, base: str) -> PlanError:
        """The error for a sketch that is needed after all."""
        return missing(self._models[model], self._models[base], self._places)

    @property
    def places(self) -> dict[str, str]:
        """Where each model's sketch was found."""
        return {model: kept.place for (model, _), kept in self._known.items() if kept is not None}


def _limit(budget: Budget, others: int) -> int | None:
    if budget.is_unlimited or (budget.share is not None and budget.share >= 1):
        return None
    return budget.nbytes if budget.share is None else int(budget.share * others)


def _reads_of_others(plan: Plan) -> int:
    """Bytes of one reading of everything but the bases."""
    return collect(plan.outputs, lambda _model, _base: {}, base_files(plan.outputs)).total


def _refuse(plan: Plan) -> None:
    """Refuse methods that cannot do with part of their inputs, naming what they would need.

    Raises:
        PlanError: see there.
    """
    for task in _tasks(plan.outputs):
        why = why_refused(task)
        if why:
            raise PlanError(
                f"Method `{task.call.title}` cannot be given a budget: {why}.",
                where=task.leaf,
                got=f"a budget below the {size(plan.cost.read_bytes)} that it reads",
                want="a method that leaves the base where nothing is read, and needs no summary but thresholds",
                fix="leave the budget out, or merge by another method, such as ties or task_arithmetic",
            )


def _tasks(outputs: Sequence[OutputTensor]) -> list[LeafTask]:
    tasks = (task for tensor in outputs for part in tensor.parts for task in tasks_of(part.expr))
    return list({(id(task.call), len(task.operands), task.delta, task.compute): task for task in tasks}.values())


def _spend(inputs: Inputs, budget: Budget, limit: int) -> None:
    """Choose blocks for what must-reads leave of the limit.

    Raises:
        PlanError: must-reads or floors do not fit.
    """
    units = list(inputs.units.values())
    floors = _floors(units, budget)
    forced = sum(inputs.forced.values())
    least = forced + floor_bytes(units, floors)
    if least > limit:
        reasons = [f"{size(nbytes)} of {why}" for why, nbytes in inputs.why.items()]
        floor = [f"{size(least - forced)} by the floors"] if least > forced else []
        raise PlanError(
            "The budget is below what this merge must read.",
            got=f"{size(limit)} ({limit} bytes)",
            want=f"at least {size(least)} ({least} bytes): {', '.join([*reasons, *floor])}",
            fix="raise the budget" + (", or lower the floors" if floor else ""),
        )
    choose(units, limit - forced, floors)


def _floors(units: Sequence[Unit], budget: Budget) -> dict[int, float]:
    """The least share of every layer that has units, and of what lies outside."""
    groups = sorted({unit.group for unit in units})
    shares = dict.fromkeys(groups, budget.floor)
    for (low, high), share in budget.floors:
        shares |= {group: share for group in groups if low <= group <= high and group != OUTSIDE}
    return {group: share for group, share in shares.items() if share > 0}


def _spent(inputs: Inputs, limit: int, shelf: Shelf) -> BudgetPlan:
    units = inputs.units
    stretches = tuple(_stretch(inputs, key) for key in units)
    forced = sum(inputs.forced.values())
    times = {key: unit.times for key, unit in units.items()}
    notes = [f"{size(nbytes)} of {why} are read whole" for why, nbytes in inputs.why.items()]
    return BudgetPlan(
        limit=limit,
        total=inputs.total,
        planned=forced + sum(s.chosen_bytes * times[s.key] for s in stretches),
        forced=forced,
        base_bytes=inputs.base_bytes,
        blocks=sum(unit.chosen.size for unit in units.values()),
        blocks_read=sum(int(unit.chosen.sum()) for unit in units.values()),
        mass=_mass(inputs),
        bound=_bound(inputs),
        stretches=stretches,
        bases=frozenset(inputs.bases),
        sketches=shelf.places,
        notes=tuple(notes),
    )


def _stretch(inputs: Inputs, key: tuple[str, int]) -> Stretch:
    unit, (read, base, known) = inputs.units[key], inputs.origins[key]
    source = base.source
    begin = source.offset + base.offset * source.spec.dtype.itemsize  # type: ignore[attr-defined]
    path: str = source.path  # type: ignore[attr-defined]
    del read
    return Stretch(*key, unit.nbytes, path, begin, unit.block_bytes, unit.chosen, known.checks)


def _mass(inputs: Inputs) -> dict[str, Mass]:
    """Squared lengths by model; what must be read is not in them unless the sketch knows it."""
    found: dict[str, Mass] = {}
    for key, unit in inputs.units.items():
        label = inputs.origins[key][0].model
        before = found.get(label, Mass(0.0, 0.0))
        left = float(unit.squares[~unit.chosen].sum())
        found[label] = Mass(before.total + float(unit.squares.sum()), before.left_out + left)
    return found


def _bound(inputs: Inputs) -> float | None:
    """sqrt(sum_b (sum_k |c_k| ||delta_kb||)^2) over what is left out; None where coefficients are not fixed."""
    total = 0.0
    for site in inputs.sites:
        found = _site_bound(site)
        if found is None:
            return None
        total += found
    return float(total**0.5)


def _site_bound(site: Site) -> float | None:
    fixed = coefficients(site.task.call, len(site.operands), delta=site.task.delta)
    left = [
        (abs(c), one)
        for c, one in zip(fixed or [1.0] * len(site.operands), site.operands, strict=True)
        if one is not None and one.unit is not None and not one.unit.chosen.all()
    ]
    if not left and all(one is not None for one in site.operands):
        return 0.0
    if fixed is None or any(one is None for one in site.operands):
        return None
    blocks = sum(c * np.sqrt(np.where(one.unit.chosen, 0.0, one.unit.squares)) for c, one in left if one.unit)
    return float(np.square(blocks).sum())


def _with_thresholds(made: BudgetPlan, plan: Plan, inputs: Inputs, shelf: Shelf) -> BudgetPlan:
    """Add what the sketches know of whole tensors and populations."""
    shifts: list[int] = []
    sites = {id(site.task): site for site in inputs.sites}
    populations = {}
    for stage in plan.stages:
        ranks = next(ranks for step, _, ranks in _ranked(stage.tasks[0]) if step == stage.step)
        members = [sites[id(task)] for task in stage.tasks]
        populations[stage.key, stage.step] = _thresholds(members, ranks, shelf, shifts)
    tensors: dict[tuple[str, str, int], Found] = {}
    for site in inputs.sites:
        for step, scope, ranks in _ranked(site.task):
            if scope is Scope.TENSOR:
                key = site.task.node, site.task.leaf, step
                tensors[key] = _thresholds([site], ranks, shelf, shifts)
    near = resolution(shifts) if populations or tensors else ""
    return replace(made, populations=populations, tensors=tensors, thresholds=near)


def _ranked(task: LeafTask) -> tuple[tuple[int, Scope, Ranks], ...]:
    return ranked(task.call, len(task.operands), delta=task.delta)


def _thresholds(sites: Sequence[Site], ranks: Ranks, shelf: Shelf, shifts: list[int]) -> Found:
    found = []
    for k in range(len(sites[0].operands)):
        ranking = Ranking()
        for site in sites:
            one = site.operands[k]
            if one is None:
                raise PlanError("Thresholds of a merge inside a merge cannot be taken from sketches.",
                                where=site.task.leaf, fix="leave the budget out, or merge in two recipes")  # fmt: skip
            if one.sketch is not None:
                ranking.add_leaf(one.sketch)
            elif site.base is not None and one.read.source == one.base.source and one.read.offset == one.base.offset:
                ranking.add_equal(one.read.numel)
            else:
                raise shelf.lack(one.read.model, one.base.model)
        shifts.append(ranking.shift)
        wanted = ranks(k, ranking.elements, ranking.nonzero)
        found.append(tuple(ranking.at(rank) for rank in wanted))
    return tuple(found)


def _digest(plan: Plan, made: BudgetPlan) -> str:
    """What the result depends on: the plan's, which blocks are read, and the thresholds."""
    hasher = hashlib.sha256(plan.digest.encode())
    for stretch in made.stretches:
        hasher.update(f"{stretch.nbytes} {stretch.block_bytes} {CELL}\n".encode())
        hasher.update(np.packbits(stretch.chosen).tobytes())
    hasher.update(json.dumps([list(made.populations.values()), list(made.tensors.values())]).encode())
    return hasher.hexdigest()
