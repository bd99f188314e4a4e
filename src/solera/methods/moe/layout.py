"""Which experts a model has: every layer with its router and its experts' leaves, whatever the layout of the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from solera.arch import Leaf, identify
from solera.arch.paths import lookup
from solera.checkpoints.contract import Checkpoint
from solera.errors import PlanError
from solera.types import TensorSpec

PARTS = ("expert.gate", "expert.up", "expert.down")
"""Roles of an expert's three matrices: (inner, width), (inner, width), (width, inner)."""
_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts")
_TOPS = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k")
_PLACES = ("", "text_config.")
_WANT = "a router and experts of gate, up and down projection in every layer, as Mixtral, Qwen-MoE, OLMoE or GLM-4 have"


@dataclass(frozen=True, slots=True)
class ExpertLayer:
    """One layer's experts.

    Attributes:
        layer: its number. router: the leaf of the router's weight, (experts, width).
        bias: of the router, (experts,), where it has one.
        experts: gate, up and down leaf of each expert.
    """

    layer: int
    router: Leaf
    experts: tuple[tuple[Leaf, Leaf, Leaf], ...]
    bias: Leaf | None = None


@dataclass(frozen=True, slots=True)
class ExpertModel:
    """A model's experts.

    Attributes:
        layers: those that have experts, in order. experts: in each of them. top: experts that a token is sent to.
        count_keys, top_keys: where the config says so. groups: that experts are routed by; 1 where they are not.
        fused: experts of a layer lie in one tensor. architecture: its name.
    """

    layers: tuple[ExpertLayer, ...]
    experts: int
    top: int
    count_keys: tuple[str, ...]
    top_keys: tuple[str, ...]
    groups: int
    fused: bool
    architecture: str
    leaves: Mapping[str, tuple[Leaf, ...]] = field(repr=False, default_factory=dict)

    @property
    def elements(self) -> int:
        """Elements of all routed experts."""
        shapes = [leaf.shape for layer in self.layers for expert in layer.experts for leaf in expert]
        return sum(a * b for a, b in shapes)


def experts_of(model: Checkpoint) -> ExpertModel:
    """The experts of an opened model; headers only.

    Raises:
        PlanError: it has none, or they are of a kind that is not known here.

    Example:
        >>> from solera.checkpoints import memory_checkpoint
        >>> experts_of(memory_checkpoint({}, {"model_type": "llama"}))
        Traceback (most recent call last):
        ...
        solera.errors.PlanError: PlanError: The model has no experts.
          where: memory
          got:   llama
          want:  a mixture of experts
          fix:   make one of dense models with `solera moe upcycle`
    """
    return described(model.specs, model.config, where=str(model.ref))


def described(specs: Mapping[str, TensorSpec], config: Mapping[str, Any], *, where: str = "") -> ExpertModel:
    """The experts of a table of tensors; see `experts_of`."""
    architecture = identify(config, specs)
    leaves = architecture.leaves(specs, config)
    by_layer = _by_layer(leaves)
    if not by_layer and (said := _present(config, _COUNTS)):
        raise _unsupported(architecture.name, where, f"{said[0]} in the config, no experts by name in the files")
    if not by_layer:
        fix = "make one of dense models with `solera moe upcycle`"
        raise PlanError(
            "The model has no experts.", where=where, got=architecture.name, want="a mixture of experts", fix=fix
        )
    layers = tuple(_layer(number, found, architecture.name, where) for number, found in sorted(by_layer.items()))
    counts = {len(layer.experts) for layer in layers}
    count_keys, top_keys = _present(config, _COUNTS), _present(config, _TOPS)
    if len(counts) != 1 or not top_keys or not count_keys:
        got = f"{sorted(counts)} experts; {', '.join((*count_keys, *top_keys)) or 'no counts'} in the config"
        raise _unsupported(architecture.name, where, got)
    by_tensor: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        by_tensor.setdefault(leaf.tensor, []).append(leaf)
    gate = layers[0].experts[0][0]
    return ExpertModel(
        layers, counts.pop(), int(lookup(config, top_keys[0])), count_keys, top_keys, _groups(config),
        len({leaf.expert for leaf in by_tensor[gate.tensor]}) > 1, architecture.name,
        {name: tuple(found) for name, found in by_tensor.items()},
    )  # fmt: skip


def _by_layer(leaves: Iterable[Leaf]) -> dict[int, list[Leaf]]:
    """Leaves of experts and routers of the layers that have experts."""
    found: dict[int, list[Leaf]] = {}
    for leaf in leaves:
        if leaf.layer is not None and leaf.role.split(".")[0] in ("expert", "router"):
            found.setdefault(leaf.layer, []).append(leaf)
    return {layer: each for layer, each in found.items() if any(leaf.role.startswith("expert") for leaf in each)}


def _layer(number: int, leaves: list[Leaf], name: str, where: str) -> ExpertLayer:
    """One layer; refused where anything of it is not understood."""
    place = f"{where} layer {number}".strip()
    parts = {(leaf.expert, leaf.role): leaf for leaf in leaves if leaf.role.startswith("expert")}
    total = len({expert for expert, _ in parts})
    odd = [leaf for (expert, role), leaf in parts.items() if expert is None or role not in PARTS or _is_bias(leaf)]
    if odd or len(parts) != total * len(PARTS) or sum(leaf.role.startswith("expert") for leaf in leaves) != len(parts):
        raise _unsupported(name, place, odd[0].name if odd else f"{len(parts)} tensors for {total} experts")
    routers = [leaf for leaf in leaves if leaf.role == "router" and leaf.shape[:1] == (total,)]
    weights = [leaf for leaf in routers if len(leaf.shape) == 2]
    biases = [leaf for leaf in routers if len(leaf.shape) == 1]
    if len(weights) != 1 or len(biases) > 1:
        raise _unsupported(name, place, f"{len(weights)} routers for {total} experts")
    experts = tuple((parts[e, PARTS[0]], parts[e, PARTS[1]], parts[e, PARTS[2]]) for e in range(total))
    return ExpertLayer(number, weights[0], experts, biases[0] if biases else None)


def _is_bias(leaf: Leaf) -> bool:
    return len(leaf.shape) != 2


def _unsupported(name: str, where: str, got: str) -> PlanError:
    return PlanError(f"Experts of `{name}` are of a kind that is not known.", where=where, got=got, want=_WANT)


def _present(config: Mapping[str, Any], keys: Iterable[str]) -> tuple[str, ...]:
    """Config paths that hold a whole number."""
    paths = [f"{place}{key}" for place in _PLACES for key in keys]
    return tuple(path for path in paths if type(lookup(config, path)) is int)


def _groups(config: Mapping[str, Any]) -> int:
    found = _present(config, ("n_group",))
    return int(lookup(config, found[0])) if found else 1
