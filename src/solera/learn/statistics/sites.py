"""A live model under canonical leaf names: where inputs are measured, and which leaves each weight holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from solera.arch import Architecture, identify
from solera.arch.values import Leaf
from solera.types import DType, TensorSpec


@dataclass(frozen=True, slots=True)
class Site:
    """One measured input.

    Attributes:
        name: canonical name of the first weight that it enters; the name of its tensor.
        module: the live module whose input is looked at. leaves: all weights that it enters.
        channels: length of its last axis. linear: it enters matrices.
        stack: the layer stack that it lies in.
    """

    name: str
    module: str
    leaves: tuple[str, ...]
    channels: int
    linear: bool
    stack: str = ""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What a live model is made of.

    Attributes:
        sites: in the order of the modules. routers: module -> leaf of its weight.
        leaves: live parameter -> the leaves that it holds. experts: some weights see some tokens only.
    """

    architecture: Architecture
    sites: tuple[Site, ...]
    routers: Mapping[str, str]
    leaves: Mapping[str, tuple[Leaf, ...]] = field(repr=False)
    experts: bool = False


def anatomy_of(model: nn.Module) -> Anatomy:
    """Describe a model by its config and the names and shapes of its state."""
    specs = {name: TensorSpec(_dtype(value), tuple(value.shape)) for name, value in model.state_dict().items()}
    config = _config(model)
    architecture = identify(config, specs)
    leaves: dict[str, list[Leaf]] = {}
    for leaf in architecture.leaves(specs, config):
        leaves.setdefault(leaf.tensor, []).append(leaf)
    modules = dict(model.named_modules())
    weights = {n: (m, leaves[f"{n}.weight"]) for n, m in modules.items() if _measurable(m) and f"{n}.weight" in leaves}
    found = {name: tuple(each) for name, each in leaves.items()}
    experts = any(leaf.expert is not None or "expert" in leaf.role for each in leaves.values() for leaf in each)
    routers = {n: each[0].name for n, (_, each) in weights.items() if each[0].role == "router" and each[0].shape[0] > 1}
    return Anatomy(architecture, tuple(_sites(architecture, weights)), routers, found, experts)


def _config(model: nn.Module) -> dict[str, Any]:
    config = getattr(model, "config", None)
    return dict(config.to_dict()) if config is not None and hasattr(config, "to_dict") else {}


def _dtype(value: Tensor) -> DType:
    return DType.parse(str(value.dtype))


def _measurable(module: nn.Module) -> bool:
    """Whether a module takes one input whose last axis is that of its weight."""
    weight = getattr(module, "weight", None)
    other = isinstance(module, nn.Embedding | nn.GroupNorm) or "BatchNorm" in type(module).__name__
    return isinstance(weight, nn.Parameter) and weight.dim() in (1, 2) and not other


def input_first(module: nn.Module) -> bool:
    """Whether a module's matrix is stored as (in, out), as transformers' Conv1D does."""
    return type(module).__name__ == "Conv1D"


def _sites(architecture: Architecture, weights: Mapping[str, tuple[nn.Module, list[Leaf]]]) -> Iterator[Site]:
    """One site per input; modules of a layer that share theirs are one, as the architecture says."""
    groups: dict[tuple[object, int], list[str]] = {}
    for name, (module, leaves) in weights.items():
        key = _shared(architecture, leaves[0]) or name
        groups.setdefault((key, _channels(module)), []).append(name)
    for (_, channels), names in groups.items():
        module, leaves = weights[names[0]]
        entered = tuple(leaf.name for name in names for leaf in weights[name][1])
        linear = isinstance(module.weight, Tensor) and module.weight.dim() == 2
        yield Site(leaves[0].name, names[0], entered, channels, linear, leaves[0].stack)


def _channels(module: nn.Module) -> int:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return int(weight.shape[0] if input_first(module) else weight.shape[-1])


def _shared(architecture: Architecture, leaf: Leaf) -> tuple[str, ...] | None:
    """What names the input that a leaf shares with others of its layer; None where it has its own."""
    for rule in architecture.plan.stacks if leaf.layer is not None else ():
        prefix = rule.prefix.replace("{layer}", str(leaf.layer)) + "."
        if rule.name != leaf.stack or not leaf.name.startswith(prefix):
            continue
        module = leaf.name.removeprefix(prefix).rpartition(".")[0]
        for site, modules in rule.sites.items():
            for pattern in modules:
                if match := re.fullmatch(_expression(pattern), module):
                    return (prefix, site, *match.groups())
    return None


def _expression(pattern: str) -> str:
    """A pattern of names as a regular expression; what stands for one segment is a group."""
    parts = re.split(r"(\*|\{\w+\})", pattern)
    return "".join(r"([^.]+)" if part == "*" or part.startswith("{") else re.escape(part) for part in parts)
