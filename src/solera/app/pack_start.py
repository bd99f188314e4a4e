"""What all tasks of a pack start from: the base as it is, or a shared expert that is merged or given."""

from __future__ import annotations

from collections.abc import Mapping
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
from solera.registry import cards

_ENDINGS = (".yaml", ".yml", ".json")
_ONE_FILE = 1 << 62
PAPERS_LAMBDA = 0.29
"""Twin-Merging's coefficient of task arithmetic, where none is given."""


def shared_recipe(wanted: PackMake) -> Recipe | None:
    """The recipe of the shared expert; None where a model is given.

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
    else:
        if parameters:
            raise PlanError("There is no method for these parameters.", got=", ".join(parameters), where=wanted.shared)
        if not wanted.shared.endswith(_ENDINGS):
            return None
        made = load(wanted.shared)
    return replace(made, output=replace(made.output, shard_bytes=_ONE_FILE))


def foreseen_start(wanted: PackMake, family: Family) -> tuple[Mapping[str, Any], Plan | None]:
    """Name -> spec of every tensor of the start, from headers; and the plan that makes it, if one does."""
    if wanted.method != "twin":
        assert family.base is not None
        return family.base.specs, None
    recipe = shared_recipe(wanted)
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


__all__ = ["foreseen_start", "shared_recipe", "write_start"]
