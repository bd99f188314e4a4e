"""recipe -> plan: a tuple of small stages, from headers and side files alone."""

from __future__ import annotations

import gc
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from solera.checkpoints import open_checkpoint
from solera.checkpoints.remote.address import AHEAD, is_address
from solera.errors import Fault, PlanError, SoleraError
from solera.plan.arithmetic import input_cast
from solera.plan.chains import work_of
from solera.plan.cost import DEFAULT_MEMORY, MIB, cost_of, shape_for
from solera.plan.expressions import calls_of, names_of, tasks_of
from solera.plan.models import Describer, ModelTable, Opener, merging, references, table_of
from solera.plan.nodes import Builder
from solera.plan.outputs import outputs_of
from solera.plan.side import side_of
from solera.plan.tasks import Call, Cost, LeafTask, OutputTensor, Plan, PopulationStage
from solera.recipe import digest as recipe_digest
from solera.recipe.values import Recipe
from solera.types import ModelRef, Scope
from solera.version import __version__

NUMERICS = 1


class PlanFaults(PlanError):
    """Several faults between recipe and models, reported together."""

    def __init__(self, faults: Iterable[Fault], *, source: str = "") -> None:
        """Collect `faults`; `source` is the recipe's place."""
        self._faults = tuple(faults)
        super().__init__(f"{len(self._faults)} faults between the recipe and its models", where=source)
        self.args = ("\n".join([f"PlanFaults: {self.fault.what}", *map(str, self._faults)]),)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults."""
        return self._faults


def make_plan(
    recipe: Recipe, *, memory: int | None = None, threads: int | None = None, opener: Opener = open_checkpoint
) -> Plan:
    """Turn a recipe into tasks. Headers, configs and tokenizer files are read; tensor data is not.

    Args:
        recipe: what to make.
        memory: bytes that the run may hold above an idle process (default 512 MiB).
        threads: workers (default: the cores of this machine).
        opener: how a reference becomes a checkpoint; tests pass their own.

    Raises:
        PlanError: recipe and models do not fit; all misfits are reported together.
    """
    with _collector_resting():
        made = _make(recipe, memory, threads, opener)
    if recipe.budget is None:
        return made
    from solera.plan.budget import budgeted

    return budgeted(made, recipe.budget)


@contextmanager
def _collector_resting() -> Iterator[None]:
    """Millions of small values are made and all kept: searching them for garbage costs a third of the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            _settle()
            gc.enable()


def _settle() -> None:
    """Put what was made among the old values, so that it is not searched right after; frozen ones stay as they are."""
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()


def _make(recipe: Recipe, memory: int | None, threads: int | None, opener: Opener) -> Plan:
    opened = _opened(recipe, opener)
    vocabulary = None
    if recipe.tokenizer is not None:
        from solera.plan.vocabulary import adapted

        opened, vocabulary = adapted(recipe, opened, merging(recipe))
    builder = Builder(recipe, opened)
    table = builder.merge(recipe.merge, ())
    if builder.faults:
        raise PlanFaults(_distinct(builder.faults), source=recipe.source)
    outputs = outputs_of(recipe, table)
    stages = population_stages(outputs)
    shape = shape_for(outputs, memory or DEFAULT_MEMORY, threads or os.cpu_count() or 1)
    cost = cost_of(outputs, stages, shape)
    if any(is_address(ref.path) for ref in opened):
        cost = replace(cost, memory_bytes=cost.memory_bytes + AHEAD)
    _check_memory(cost, memory, shape.threads)
    rows = _provenance(outputs, opened)
    return Plan(
        recipe=recipe,
        outputs=outputs,
        stages=stages,
        models={t.label: t.checkpoint for t in opened.values()},
        side=side_of(table, vocabulary),
        cost=cost,
        digest=_digest(recipe, opened, outputs, builder.shelf.digests),
        warnings=tuple(_warnings(recipe, builder, opened, rows, vocabulary)),
        provenance=rows,
        maps=tuple(builder.maps),
    )


def _check_memory(cost: Cost, memory: int | None, threads: int) -> None:
    """Refuse a limit that the work cannot keep; without one, what the work needs is taken and said."""
    if memory is not None and cost.memory_bytes > memory:
        raise PlanError(
            "The memory limit is too small for this merge.",
            got=f"{memory // MIB:,} MiB",
            want=f"at least {-(-cost.memory_bytes // MIB):,} MiB with {threads} workers",
            fix="raise --memory" + (", or use --threads 1" if threads > 1 else ""),
        )


def _opened(recipe: Recipe, opener: Opener) -> dict[ModelRef, ModelTable]:
    """Open every model; the faults of all are reported together."""
    tables: dict[ModelRef, ModelTable] = {}
    problems: list[SoleraError] = []
    describer = Describer()
    for ref in references(recipe):
        try:
            tables[ref] = table_of(opener(ref), str(ref), input_cast(recipe), describer)
        except SoleraError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        faults = PlanFaults([f for e in problems for f in e.faults], source=recipe.source)
        faults.exit_code = problems[0].exit_code
        raise faults
    return tables


def _distinct(faults: Iterable[Fault]) -> list[Fault]:
    return list(dict.fromkeys(faults))


def population_stages(outputs: Iterable[OutputTensor]) -> tuple[PopulationStage, ...]:
    """Whole-model summaries in the order in which they can be taken: inner nodes first, then along the chain."""
    populations: dict[tuple[str, Call], dict[int, LeafTask]] = {}
    groups: dict[tuple[str, int], dict[int, LeafTask]] = {}  # equal calls are mostly one object
    for tensor in outputs:
        for part in tensor.parts:
            for task in tasks_of(part.expr):
                key = (task.node, id(task.call))
                if key not in groups:
                    groups[key] = populations.setdefault(task.population, {})
                groups[key].setdefault(id(task), task)
    ordered = list(populations.items())
    if len(ordered) > 1:
        ordered.sort(key=lambda kv: max(_depth(t) for t in kv[1].values()))
    return tuple(stage for key, tasks in ordered for stage in _stages_of(key, tuple(tasks.values())))


def _depth(task: LeafTask) -> int:
    return 1 + max((_depth(child) for child in task.children()), default=0)


def _stages_of(key: tuple[str, Call], tasks: tuple[LeafTask, ...]) -> Iterable[PopulationStage]:
    for need in work_of(tasks[0]).needs:
        if need.scope is Scope.POPULATION:
            yield PopulationStage(key, need.step, need.rounds, tasks)


def _provenance(
    outputs: Iterable[OutputTensor], opened: Mapping[ModelRef, ModelTable]
) -> tuple[tuple[str, str, str, str], ...]:
    """(model, tensor, status, reason) for every input tensor that does not take part."""
    used = _used(outputs)
    unused: dict[tuple[int, ...], list[str]] = {}  # of models that agree in leaves and in what is read of them
    rows: list[tuple[str, str, str, str]] = []
    for table in opened.values():
        taken = used.get(table.label, [])
        key = (id(table.places), *map(id, taken))
        if key not in unused:
            names = set().union(*taken)
            unused[key] = [leaf.tensor for leaf in table.own_leaves() if leaf.tensor not in names]
        rows += [(table.label, name, "refused", "not part of the output") for name in unused[key]]
        rows += [(table.label, name, "consumed", why) for name, why in table.checkpoint.consumed.items()]
    return tuple(dict.fromkeys(rows))


def _used(outputs: Iterable[OutputTensor]) -> dict[str, list[set[str]]]:
    """Model -> its file tensors that the output reads, in sets that models share where they are read alike."""
    groups: dict[tuple[str, ...], set[str]] = {}
    for tensor in outputs:
        for part in tensor.parts:
            for labels, name in names_of(part.expr):
                groups.setdefault(labels, set()).add(name)
    used: dict[str, list[set[str]]] = {}
    for labels, names in groups.items():
        for label in dict.fromkeys(labels):
            used.setdefault(label, []).append(names)
    return used


def _warnings(
    recipe: Recipe,
    builder: Builder,
    opened: Mapping[ModelRef, ModelTable],
    rows: Iterable[tuple[str, ...]],
    vocabulary: Any,
) -> Iterable[str]:
    yield from recipe.warnings
    yield from builder.notes
    for table in opened.values():
        yield from (f"{table.label}: {note}" for note in (*table.checkpoint.notes, *table.architecture.notes))
    refused = [r for r in rows if r[2] == "refused"]
    floats = _merging_labels(recipe, builder)
    for label in dict.fromkeys(r[0] for r in refused if r[0] in floats):
        names = [r[1] for r in refused if r[0] == label]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield f"{label}: {len(names)} tensors are left out: {', '.join(names[:3])}{more}"
    if vocabulary is not None:
        yield from vocabulary.notes


def _merging_labels(recipe: Recipe, builder: Builder) -> set[str]:
    """Models whose left-out tensors are worth a warning: not those of slices, which leave layers out on purpose."""
    return set() if recipe.merge.slices else {t.label for t in builder.opened.values()}


def _digest(
    recipe: Recipe,
    opened: Mapping[ModelRef, ModelTable],
    outputs: Iterable[OutputTensor],
    statistics: Mapping[str, str],
) -> str:
    """What the result depends on: recipe, inputs, numerics, method versions. Threads and memory are left out."""
    text = json.dumps(
        {
            "numerics": NUMERICS,
            "solera": __version__,
            "recipe": recipe_digest(recipe),
            "inputs": {str(ref): t.checkpoint.weak_id for ref, t in opened.items()},
            "outputs": [[o.name, o.dtype.value, list(o.shape)] for o in outputs],
            "calls": sorted(repr(call) for call in calls_of(outputs)),
            **({"statistics": dict(statistics)} if statistics else {}),
        },
        sort_keys=True,
    )
    return hashlib.sha256(text.encode()).hexdigest()
