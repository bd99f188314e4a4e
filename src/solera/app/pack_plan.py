"""Before a pack is written: the models, and which of their tensors are merged, kept, or a task's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from solera.checkpoints import open_checkpoint
from solera.checkpoints.contract import ByteReader, Checkpoint, Source
from solera.errors import BadParameter, MissingTensor, PlanError, ShapeMismatch
from solera.inference.routed.index import checked_name
from solera.ops.masks import bytes_for
from solera.types import CELL, DType, TensorSpec

BLOCK = 16 * CELL
"""Elements that are read of every model at a time."""
Specs = dict[str, TensorSpec]


@dataclass(frozen=True, slots=True)
class Family:
    """The models of a pack, opened: headers only.

    Attributes:
        base: None where the pack starts at a model that is given. layout: whose config and side files are taken.
        names: of the tasks, one for each expert.
    """

    base: Checkpoint | None
    layout: Checkpoint
    experts: tuple[Checkpoint, ...]
    names: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the separate experts."""
        return sum(spec.nbytes for expert in self.experts for spec in expert.specs.values())


@dataclass(frozen=True, slots=True)
class Tensors:
    """What becomes of the tensors of a family.

    `common`: floats of one shape in all models. `own`: whole for each task (heads). `notes`: why some are.
    """

    common: tuple[str, ...]
    own: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Parts:
    """Tensors of the pack's files, before they are written: of the shared vector, and of every task."""

    vector: Specs = field(default_factory=dict)
    tasks: list[Specs] = field(default_factory=list)


def opened_family(base: str | None, experts: Sequence[str], names: Sequence[str]) -> Family:
    """Open the models, and name the tasks: as asked, or as the experts' folders are called.

    Raises:
        BadParameter: no expert, or not one name for each. UnknownName: a name that no file can have.
    """
    if not experts:
        raise BadParameter("There are no experts.", want="one or more models")
    tasks = list(names) or [_folder_name(expert) for expert in experts]
    if len(tasks) != len(experts):
        raise BadParameter("Every expert needs a name.", got=f"{len(tasks)} for {len(experts)} experts", fix="--tasks")
    if len(set(tasks)) != len(tasks):
        raise BadParameter("Two tasks have one name.", got=", ".join(tasks), fix="give names with --tasks a,b,c")
    models = tuple(open_checkpoint(expert) for expert in experts)
    opened = None if base is None else open_checkpoint(base)
    return Family(opened, opened or models[0], models, tuple(map(checked_name, tasks)))


def _folder_name(text: str) -> str:
    return text.rstrip("/").rsplit("/", 1)[-1].split("@", 1)[0]


def sorted_tensors(start: Mapping[str, TensorSpec], family: Family, patterns: Sequence[str]) -> Tensors:
    """Say what becomes of every tensor.

    Args:
        start: of the base, or of the shared expert.
        family: the experts.
        patterns: regular expressions; tensors that one of them finds are each task's own.

    Raises:
        MissingTensor: an expert lacks a tensor. BadParameter: a pattern is none, or finds nothing.
    """
    wanted = [_compiled(pattern) for pattern in patterns]
    tables = [expert.specs for expert in family.experts]
    extra = [name for name in dict.fromkeys(name for table in tables for name in table) if name not in start]
    named = {name for name in {*start, *extra} if any(pattern.search(name) for pattern in wanted)}
    _check_found(wanted, named)
    shaped = {n for n in start if n not in named and _differs(n, start[n], tables, family)}
    _check_base(start, shaped, family)
    for name in (*extra, *sorted(named - set(extra))):
        _check_everywhere(name, tables, family)
    own = tuple(n for n in (*start, *extra) if n in named or n in shaped or n not in start)
    common = tuple(n for n, spec in start.items() if n not in own and spec.dtype.is_float)
    return Tensors(common, own, tuple(_notes(sorted(shaped), extra)))


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise BadParameter("`own` is no pattern.", got=pattern, want=f"a regular expression ({error})") from None


def _check_found(patterns: Sequence[re.Pattern[str]], names: set[str]) -> None:
    for pattern in patterns:
        if not any(pattern.search(name) for name in names):
            raise BadParameter("`own` finds no tensor.", got=pattern.pattern, fix="see `solera inspect BASE --tensors`")


def _check_base(start: Mapping[str, TensorSpec], shaped: set[str], family: Family) -> None:
    """Heads may differ in shape; a model most of whose weights do is another one."""
    odd, whole = (sum(start[name].numel for name in names) for names in (shaped, start))
    if 2 * odd > whole:
        where, got = family.layout.ref, f"{len(shaped)} of {len(start)} tensors differ in shape"
        raise ShapeMismatch(
            "The experts are not tuned from this base.", where=where, got=got, fix="name their own base"
        )


def _differs(name: str, spec: TensorSpec, tables: Sequence[Mapping[str, TensorSpec]], family: Family) -> bool:
    _check_everywhere(name, tables, family)
    return any(table[name].shape != spec.shape for table in tables)


def _check_everywhere(name: str, tables: Sequence[Mapping[str, TensorSpec]], family: Family) -> None:
    for expert, table in zip(family.experts, tables, strict=True):
        if name not in table:
            fix = "experts must be fine-tunes of one base, saved in one layout"
            raise MissingTensor("An expert lacks a tensor.", where=expert.ref, got=name, fix=fix)


def _notes(shaped: Sequence[str], extra: Sequence[str]) -> Iterator[str]:
    if shaped:
        yield f"not of one shape, kept whole for every task: {', '.join(shaped[:5])}"
    if extra:
        yield f"not in the base, kept whole for every task: {', '.join(extra[:5])}"


def inner_config(family: Family, tensors: Tensors, start: Mapping[str, TensorSpec]) -> dict[str, Any]:
    """The config of the model inside: the layout model's, or the first expert's where that has tensors of its own.

    Raises:
        PlanError: it names no architecture.
    """
    owner = family.layout if all(name in start for name in tensors.own) else family.experts[0]
    config = {key: value for key, value in {**owner.config, **owner.config_patch}.items() if value is not None}
    if not config.get("model_type") or not config.get("architectures"):
        what = "This architecture is not supported: the config does not say what the model is."
        raise PlanError(what, where=owner.ref, want="config.json with model_type and architectures")
    return config


def changed(source: Source, other: Source, reader: ByteReader) -> bool:
    """Whether two tensors differ anywhere; most are known to after one block."""
    for start, stop in blocks(source.spec.numel):
        if not torch.equal(read(source, start, stop, reader), read(other, start, stop, reader)):
            return True
    return False


def blocks(entries: int) -> Iterator[tuple[int, int]]:
    """Slices of a flattened tensor; all start at a cell.

    Example:
        >>> list(blocks(3)), list(blocks(0))
        ([(0, 3)], [])
    """
    return ((start, min(start + BLOCK, entries)) for start in range(0, entries, BLOCK))


def read(source: Source, start: int, stop: int, reader: ByteReader) -> Tensor:
    """A slice of a tensor in float32."""
    return source.read(reader, start, stop).to(torch.float32)


def vector_type(asked: DType | None, start: TensorSpec) -> DType:
    """The type of what is added to a tensor: as asked, else its own."""
    return asked or (start.dtype if start.dtype in (DType.F32, DType.BF16, DType.F16) else DType.F32)


def bits_spec(shape: Sequence[int]) -> TensorSpec:
    """Type and shape of a mask.

    Example:
        >>> bits_spec((3, 3))
        TensorSpec(dtype=<DType.U8: 'U8'>, shape=(2,))
    """
    return TensorSpec(DType.U8, (bytes_for(torch.Size(shape).numel()),))
