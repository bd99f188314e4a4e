"""What experts a model has, how much of it they are, and how they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from solera.app.moe_statistics import measured_of
from solera.checkpoints import FileReader, open_checkpoint
from solera.checkpoints.reference import parse_ref
from solera.checkpoints.statistics import file_for
from solera.methods.moe.layout import experts_of


def moe_inspect(model: str, statistics: Path | None = None) -> dict[str, Any]:
    """Layers, experts and bytes of a mixture of experts; with statistics of it, usage and scores.

    Returns:
        Plain data: ``{"model", "architecture", "layers", "experts", "top", "layout", "bytes", "expert_bytes",
        "usage": {layer: [share of the choices]}, "reap": {layer: [score]}}``; the last two as far as they were
        measured.

    Raises:
        PlanError: the model has no experts, or the statistics are of another model.
    """
    opened = open_checkpoint(parse_ref(model))
    experts = experts_of(opened)
    size = opened.table[experts.layers[0].experts[0][0].tensor].spec.dtype.itemsize
    found: dict[str, Any] = {
        "model": model, "architecture": experts.architecture, "layers": len(experts.layers), "experts": experts.experts,
        "top": experts.top, "layout": "fused" if experts.fused else "one tensor per matrix", "bytes": opened.nbytes,
        "expert_bytes": size * experts.elements,
    }  # fmt: skip
    if statistics is None:
        return found
    known = [k for k in ("router_frequency", "expert_activation") if file_for(statistics, k) is not None]
    with FileReader() as reader:
        seen, _ = measured_of(opened, experts, statistics, known or ["router_frequency"], reader)
    return found | _usage(seen, experts)


def _usage(seen: Any, experts: Any) -> dict[str, Any]:
    from solera.methods.moe.m_smoe import usage_of
    from solera.methods.moe.reap import SCORES

    found: dict[str, Any] = {}
    layers = [(layer.layer, layer.router.name) for layer in experts.layers]
    if "router_frequency" in seen:
        found["usage"] = {number: usage_of(seen["router_frequency"][name]) for number, name in layers}
    if "expert_activation" in seen:
        found["reap"] = {number: SCORES["reap"](seen["expert_activation"][name]).tolist() for number, name in layers}
    return found
