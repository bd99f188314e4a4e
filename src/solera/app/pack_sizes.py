"""How large a pack can become, from headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solera.app.pack_plan import Family, Tensors, bits_spec, vector_type
from solera.app.pack_report import PackMake
from solera.app.pack_twin import checked_rank, form_of
from solera.types import DType, TensorSpec


def foreseen(
    wanted: PackMake, family: Family, tensors: Tensors, start: Mapping[str, TensorSpec], dtype: DType | None
) -> dict[str, Any]:
    """Bytes by what they are for, as `Pack.sizes` has them, if every expert changes every common tensor.

    Headers of files and the router, some kilobytes each, are not counted.
    """
    whole = sum(spec.nbytes for spec in start.values())
    twin = wanted.method == "twin"
    each = {name: _of_task(wanted, tensors, start, dtype) for name in family.names}
    for name, expert in zip(family.names, family.experts, strict=True):
        each[name] += sum(expert.specs[tensor].nbytes for tensor in tensors.own)
    vector = sum(start[n].numel * vector_type(dtype, start[n]).itemsize for n in tensors.common)
    shared = whole if twin else vector
    total = whole + (0 if twin else vector) + sum(each.values())
    share = total / family.nbytes if family.nbytes else 0
    sizes = {"base": 0 if twin else whole, "shared": shared, "tasks": each, "router": 0}
    return {**sizes, "total": total, "experts": family.nbytes, "share": share}


def _of_task(wanted: PackMake, tensors: Tensors, start: Mapping[str, TensorSpec], dtype: DType | None) -> int:
    if wanted.method != "twin":
        return sum(bits_spec(start[name].shape).nbytes for name in tensors.common)
    rank = checked_rank(wanted.parameters.get("rank", 0.1))
    return sum(_entries(start[name], rank) * vector_type(dtype, start[name]).itemsize for name in tensors.common)


def _entries(spec: TensorSpec, rank: Any) -> int:
    form = form_of(spec.shape, rank)
    if not form.factored:
        return spec.numel
    stacked = spec.shape[0] if form.batch else 1
    return stacked * form.rank * (form.rows + form.columns)
