"""What all tasks of a pack start from: the base as it is, or a shared expert that is merged or given."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from solera.app.merging import shards_of
from solera.app.pack_files import copy_tensors
from solera.app.pack_plan import Family
from solera.app.pack_report import PackMake
from solera.checkpoints import FileReader, open_checkpoint
from solera.checkpoints.contract import Source
from solera.checkpoints.safetensors_file import read_header
from solera.errors import PlanError
from solera.execute.backends import opened
from solera.execute.journal import Journal, Past
from solera.execute.run import execute
from solera.execute.staging import Staging
from solera.plan import plan
from solera.plan.cost import DEFAULT_MEMORY, shape_for
from solera.plan.tasks import Plan
from solera.recipe import Recipe, from_options, load
from solera.recipe.values import Match, Rule
from solera.registry import cards

_ENDINGS = (".yaml", ".yml", ".json")
_ONE_FILE = 1 << 62
PAPERS_LAMBDA = 0.29
"""Twin-Merging's coefficient of task arithmetic, where none is given."""


def starts_at_a_model(wanted: PackMake) -> bool:
    """Whether the shared expert of a twin pack is given as it is, and not merged."""
    return wanted.shared not in cards() and not wanted.shared.endswith(_ENDINGS)


def shared_recipe(wanted: PackMake, family: Family) -> Recipe | None:
    """The recipe of the shared expert; None where a model is given. Heads of other shapes stay the base's.

    Raises:
        RecipeFaults: the method or its parameters are wrong. PlanError: parameters are given beside a recipe.
    """
    parameters = {name: value for name, value in wanted.parameters.items() if name != "rank"}
    if wanted.shared in cards():
        if wanted.shared == "task_arithmetic" and "lambda" not in parameters:
            parameters = {"lambda": PAPERS_LAMBDA, **parameters}
        made = from_options(
            wanted.experts, base=wanted.base, method=wanted.shared, parameters=parameters, seed=wanted.seed
        )
        made = replace(made, merge=replace(made.merge, rules=tuple(_copied(family))))
    else:
        if parameters:
            raise PlanError("There is no method for these parameters.", got=", ".join(parameters), where=wanted.shared)
        if starts_at_a_model(wanted):
            return None
        made = load(wanted.shared)
    return replace(made, output=replace(made.output, shard_bytes=_ONE_FILE))


def _copied(family: Family) -> Iterator[Rule]:
    """Rules for tensors that no merge can have: every task keeps its own of them."""
    for name, spec in family.base.specs.items() if family.base else ():
        if any(name in expert.specs and expert.specs[name].shape != spec.shape for expert in family.experts):
            yield Rule(Match(name=glob.escape(name)), method="copy")


def needed(wanted: PackMake, family: Family, planned: Plan | None) -> list[Path]:
    """Folders and files that the making reads: none of them may be replaced by the pack."""
    models = [family.layout, *family.experts, *(planned.models.values() if planned else ())]
    if wanted.method == "twin" and starts_at_a_model(wanted):
        models.append(open_checkpoint(wanted.shared))
    recipe = Path(wanted.shared)
    return [m.folder for m in models if m.folder is not None] + ([recipe] if recipe.is_file() else [])


def foreseen_start(wanted: PackMake, family: Family) -> tuple[Mapping[str, Any], Plan | None]:
    """Name -> spec of every tensor of the start, from headers; and the plan that makes it, if one does."""
    if wanted.method != "twin":
        assert family.base is not None
        return family.base.specs, None
    recipe = shared_recipe(wanted, family)
    if recipe is None:
        return open_checkpoint(wanted.shared).specs, None
    planned = plan(recipe, threads=1)
    return {name: spec for shard in shards_of(planned) for name, spec in shard.specs.items()}, planned


def write_start(
    staging: Staging, name: str, wanted: PackMake, family: Family, planned: Plan | None,
    reader: FileReader, listener: Any,
) -> Mapping[str, Source]:  # fmt: skip
    """Write the start into the staged pack as one file; returns its table."""
    path = staging.model / name
    if planned is not None:
        _merge(staging, path, planned, reader, listener)
    else:
        source = open_checkpoint(wanted.shared) if wanted.method == "twin" else family.base
        assert source is not None
        copy_tensors(staging.model, name, source.table, reader)
    return read_header(str(path), reader).tensors


def _merge(staging: Staging, path: Path, planned: Plan, reader: FileReader, listener: Any) -> None:
    """Run a merge into one file of the staged pack."""
    shards = shards_of(planned)
    journal = Journal(staging.root / "shared.jsonl", planned.digest, fresh=True)
    shape = shape_for(planned.outputs, DEFAULT_MEMORY, 1)
    try:
        with opened("inline", 1) as crew:
            execute(planned, {path: shards[0]}, shape, reader, journal, Past(), listener, crew)
    finally:
        journal.close()


__all__ = ["foreseen_start", "needed", "shared_recipe", "starts_at_a_model", "write_start"]
