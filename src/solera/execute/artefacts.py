"""Artefacts: small named values that a method leaves beside the model, such as what a running merge needs to go on.

A step emits them from its finished whole-model summary. They are written into the staging folder as
``artefacts/<method>.safetensors``, so that they are committed with the model, with their digest in the manifest.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.errors import CorruptFile
from solera.execute.engine import PopulationKey
from solera.plan.chains import chain_of, kernel_of
from solera.plan.tasks import LeafTask, Plan, PopulationStage

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "artefacts"


@dataclass(frozen=True, slots=True, eq=False)
class Artefact:
    """Values by name, the method that left them, and the parameters it was called with."""

    name: str
    values: Mapping[str, int | float | Tensor]
    method: str
    parameters: Mapping[str, Any]


def emitted(plan: Plan, populations: Mapping[PopulationKey, Any]) -> tuple[Artefact, ...]:
    """What the steps that made the output leave behind; merges inside of it leave nothing.

    A population of its own (a rule with other parameters) leaves an artefact of its own, numbered from 2.
    """
    tasks = (part.expr for tensor in plan.outputs for part in tensor.parts)
    written = {task.population for task in tasks if isinstance(task, LeafTask)}
    names: Counter[str] = Counter()
    return tuple(
        artefact
        for stage in plan.stages
        if stage.key in written and (stage.key, stage.step) in populations
        for artefact in _of_stage(stage, populations[(stage.key, stage.step)], names)
    )


def _of_stage(stage: PopulationStage, finished: Any, names: Counter[str]) -> Iterator[Artefact]:
    task, call = stage.tasks[0], stage.tasks[0].call
    if kernel_of(call, len(task.operands), delta=task.delta) is not None:
        return  # kernels emit nothing, and asking the chain would import torch
    emits = chain_of(call).steps[stage.step].emits
    if emits is not None:
        names[call.method] += 1
        name = call.method if names[call.method] == 1 else f"{call.method}-{names[call.method]}"
        yield Artefact(name, emits(finished), call.method, dict(call.parameters))


def write_artefacts(folder: Path, artefacts: tuple[Artefact, ...]) -> tuple[str, ...]:
    """Write each to ``artefacts/<name>.safetensors`` below `folder`; returns the files' names, relative.

    Numbers become 64-bit tensors of no axes, so that they come back exactly.
    """
    return tuple(_write(folder, artefact) for artefact in artefacts)


def _write(folder: Path, artefact: Artefact) -> str:
    import torch
    from safetensors.torch import save

    name = f"{FOLDER}/{artefact.name}.safetensors"
    about = json.dumps({"method": artefact.method, "parameters": dict(artefact.parameters)}, sort_keys=True)
    wide = {int: torch.int64, float: torch.float64}
    tensors = {
        key: torch.tensor(value, dtype=wide[type(value)]) if type(value) in wide else value
        for key, value in sorted(artefact.values.items())
    }
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(save(tensors, metadata={"solera": about}))
    return name


def read_artefacts(folder: Path) -> tuple[Artefact, ...]:
    """The artefacts of a merged folder, in order of name; none where there are none.

    Raises:
        CorruptFile: a file is not one that `write_artefacts` wrote.
    """
    return tuple(_read(path) for path in sorted((folder / FOLDER).glob("*.safetensors")))


def _read(path: Path) -> Artefact:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["solera"])
            values = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - the file is no mapping
        plain = {key: value if value.dim() else value.item() for key, value in values.items()}
        return Artefact(path.stem, plain, about["method"], about["parameters"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CorruptFile("The artefact cannot be read.", where=path, got=error, fix="merge again") from None
