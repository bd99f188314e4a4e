"""The application: merge = check, plan, run, reconcile, commit, report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solera.app.adapter_inspecting import lora_inspect
    from solera.app.adapters import AdapterMerge, lora_merge
    from solera.app.aligning import AlignReport, align
    from solera.app.checking import check
    from solera.app.comparing import diff
    from solera.app.continuing import continued
    from solera.app.extracting import Extraction, lora_extract
    from solera.app.inspecting import inspect
    from solera.app.live import LiveMerge, merge_live, merge_tensors
    from solera.app.loading import load, save
    from solera.app.machine import doctor
    from solera.app.merging import merge
    from solera.app.moe import moe_merge, moe_prune
    from solera.app.moe_checking import ExpertMerge, moe_check
    from solera.app.moe_inspecting import moe_inspect
    from solera.app.moe_report import ExpertReport
    from solera.app.moe_upcycling import Upcycle, moe_upcycle, upcycle_check
    from solera.app.pack_looking import pack_inspect, pack_unpack, pack_verify
    from solera.app.pack_making import pack_make
    from solera.app.pack_report import PackMake, PackReport
    from solera.app.pushing import push
    from solera.app.report import MergeReport
    from solera.app.swapping import load_into
    from solera.app.trying import try_out
    from solera.plan import plan

_HOMES = {
    "AlignReport": "app.aligning",
    "align": "app.aligning",
    "AdapterMerge": "app.adapters",
    "lora_merge": "app.adapters",
    "lora_inspect": "app.adapter_inspecting",
    "Extraction": "app.extracting",
    "lora_extract": "app.extracting",
    "merge": "app.merging",
    "ExpertMerge": "app.moe_checking",
    "moe_check": "app.moe_checking",
    "moe_merge": "app.moe",
    "moe_prune": "app.moe",
    "moe_inspect": "app.moe_inspecting",
    "ExpertReport": "app.moe_report",
    "Upcycle": "app.moe_upcycling",
    "moe_upcycle": "app.moe_upcycling",
    "upcycle_check": "app.moe_upcycling",
    "plan": "plan",
    "MergeReport": "app.report",
    "check": "app.checking",
    "continued": "app.continuing",
    "load": "app.loading",
    "save": "app.loading",
    "inspect": "app.inspecting",
    "diff": "app.comparing",
    "doctor": "app.machine",
    "PackMake": "app.pack_report",
    "PackReport": "app.pack_report",
    "pack_inspect": "app.pack_looking",
    "pack_make": "app.pack_making",
    "pack_unpack": "app.pack_looking",
    "pack_verify": "app.pack_looking",
    "push": "app.pushing",
    "try_out": "app.trying",
    "LiveMerge": "app.live",
    "merge_live": "app.live",
    "merge_tensors": "app.live",
    "load_into": "app.swapping",
}

__all__ = [
    "AdapterMerge",
    "AlignReport",
    "ExpertMerge",
    "ExpertReport",
    "Extraction",
    "LiveMerge",
    "MergeReport",
    "PackMake",
    "PackReport",
    "Upcycle",
    "align",
    "check",
    "continued",
    "diff",
    "doctor",
    "inspect",
    "load",
    "load_into",
    "lora_extract",
    "lora_inspect",
    "lora_merge",
    "merge",
    "merge_live",
    "merge_tensors",
    "moe_check",
    "moe_inspect",
    "moe_merge",
    "moe_prune",
    "moe_upcycle",
    "pack_inspect",
    "pack_make",
    "pack_unpack",
    "pack_verify",
    "plan",
    "push",
    "save",
    "try_out",
    "upcycle_check",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used; importing this room costs nothing."""
    if name in _HOMES:
        return getattr(import_module(f"solera.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'solera.app' has no attribute {name!r}")
