"""Statistics for methods on experts: opened, held to the model by digest, read by the leaf of each router."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from solera.checkpoints.contract import ByteReader, Checkpoint
from solera.checkpoints.identity import digest_checkpoint
from solera.checkpoints.statistics import Statistics, file_for, open_statistics
from solera.errors import MissingTensor, NonFinite, PlanError, ShapeMismatch
from solera.methods.moe.layout import ExpertLayer, ExpertModel

if TYPE_CHECKING:
    from torch import Tensor

    from solera.methods.moe.contract import Measured

SHORT = 12
"""Characters of a digest that messages show."""


def measured_of(
    model: Checkpoint, experts: ExpertModel, folder: Path | None, kinds: Sequence[str], reader: ByteReader
) -> tuple[Measured, tuple[Statistics, ...]]:
    """The statistics that a method reads, and the files they came from.

    Args:
        model: what they must have been measured on.
        experts: its layers.
        folder: where files lie, by kind; None where nothing was measured.
        kinds: what is wanted.
        reader: reads the files, and the model where headers do not show that it is the measured one.

    Raises:
        PlanError: there are none, or they are of another model. MissingTensor, ShapeMismatch: a layer lacks its own.
    """
    files = tuple(_opened(model, folder, kind) for kind in kinds)
    _check_model(model, files, reader)
    return {kind: _values(file, kind, experts, reader) for kind, file in zip(kinds, files, strict=True)}, files


def _opened(model: Checkpoint, folder: Path | None, kind: str) -> Statistics:
    path = None if folder is None else file_for(folder, kind)
    if path is None:
        fix = f"give --data, or measure: solera learn statistics {model.ref} --kinds {kind} --data ... -o FOLDER"
        raise PlanError(
            "There is no calibration data.",
            got=folder or "no statistics",
            want=f"data, or the statistic {kind}",
            fix=fix,
        )
    found = open_statistics(path)
    if found.manifest.kind != kind:
        raise PlanError("The file holds another statistic.", where=path, got=found.manifest.kind, want=kind)
    return found


def _check_model(model: Checkpoint, files: Sequence[Statistics], reader: ByteReader) -> None:
    """Equal headers, sizes and times are taken for the same model; otherwise all bytes are read, once."""
    strange = [file for file in files if not model.weak_id or model.weak_id != file.manifest.weak_id]
    if not strange:
        return
    root = digest_checkpoint(model, reader=reader).root
    for file in strange:
        said = file.manifest
        if said.model_digest != root:
            got, want = f"{said.model} ({said.model_digest[:SHORT]})", f"{model.ref} ({root[:SHORT]})"
            fix = f"solera learn statistics {model.ref} --kinds {said.kind} --data ... -o FOLDER"
            raise PlanError("The statistics are of another model.", where=file.path, got=got, want=want, fix=fix)


def _values(file: Statistics, kind: str, experts: ExpertModel, reader: ByteReader) -> dict[str, Tensor]:
    return {layer.router.name: _of_layer(file, kind, layer, reader) for layer in experts.layers}


def _of_layer(file: Statistics, kind: str, layer: ExpertLayer, reader: ByteReader) -> Tensor:
    import torch

    source, want = file.source(layer.router.name), _shape(kind, layer)
    if source is None:
        raise MissingTensor("A layer was not measured.", where=file.path, want=layer.router.name)
    if source.spec.shape != want:
        got = list(source.spec.shape)
        raise ShapeMismatch(f"{kind} has another shape.", where=f"{file.path}, layer {layer.layer}", got=got, want=want)
    values = source.read(reader, 0, source.spec.numel).reshape(want)
    if not bool(torch.isfinite(values).all()):
        raise NonFinite(f"{kind} holds a value that is not finite.", where=file.path, fix="measure it again")
    return values


def _shape(kind: str, layer: ExpertLayer) -> tuple[int, ...]:
    experts, width = layer.router.shape
    shapes: dict[str, tuple[int, ...]] = {
        "router_frequency": (experts,),
        "router_gram": (experts, experts),
        "expert_activation": (4, experts),
        "expert_output": (experts, width),
    }
    return shapes[kind]
