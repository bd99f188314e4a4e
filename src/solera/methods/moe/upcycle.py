"""A mixture of experts out of dense models: everything but the MLPs is the base's, every model's MLP is an expert.

Source: the tool mergekit-moe (github.com/arcee-ai/mergekit), and Sparse Upcycling (arXiv:2212.05055).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from solera.arch import Leaf, identify
from solera.checkpoints.contract import ByteReader, Checkpoint, Source
from solera.checkpoints.ranges import MemorySource
from solera.checkpoints.views import Part
from solera.errors import BadParameter, MissingTensor, PlanError, ShapeMismatch
from solera.methods.moe.cards import expert_method
from solera.registry import Positive, Range
from solera.types import DType, TensorSpec

if TYPE_CHECKING:
    from torch import Tensor

Gate = Literal["hidden", "hidden_avg", "mlp_input", "cheap_embed", "random", "uniform_random"]
PROMPTED = ("hidden", "hidden_avg", "mlp_input", "cheap_embed")
"""Gates that need prompts of every expert."""
LIVE = ("hidden", "hidden_avg", "mlp_input")
"""Gates that need the base to run."""
_MLP = ("mlp.gate", "mlp.up", "mlp.down")
_TILE = 1 << 18
"""Elements whose noise is drawn at once: memory stays that of a tile, however large the tensor."""


@dataclass(frozen=True, slots=True)
class Family:
    """What a dense model becomes.

    Attributes:
        model_type, head: of the output. router, parts: names of modules in a layer; ``{}`` is the expert's number.
        count: config key of the number of experts. inner: of the width of an expert. own: further settings.
        without: settings of the dense model that the other has not; they must be false or absent.
    """

    model_type: str
    head: str
    router: str
    parts: tuple[str, str, str]
    count: str
    own: Mapping[str, Any]
    without: tuple[str, ...] = ()
    inner: str = "intermediate_size"


_MOE = "block_sparse_moe"
_MIXTRAL = Family(
    model_type="mixtral",
    head="MixtralForCausalLM",
    router=f"{_MOE}.gate",
    parts=(f"{_MOE}.experts.{{}}.w1", f"{_MOE}.experts.{{}}.w3", f"{_MOE}.experts.{{}}.w2"),
    count="num_local_experts",
    own={"router_aux_loss_coef": 0.001, "output_router_logits": False},
    without=("attention_bias", "mlp_bias"),
)
_QWEN3 = Family(
    model_type="qwen3_moe",
    head="Qwen3MoeForCausalLM",
    router="mlp.gate",
    parts=("mlp.experts.{}.gate_proj", "mlp.experts.{}.up_proj", "mlp.experts.{}.down_proj"),
    count="num_experts",
    own={"decoder_sparse_step": 1, "norm_topk_prob": True, "mlp_only_layers": [], "router_aux_loss_coef": 0.001},
    inner="moe_intermediate_size",
)
FAMILIES: Mapping[str, Family] = {"llama": _MIXTRAL, "mistral": _MIXTRAL, "qwen3": _QWEN3}
"""Model type of a dense model -> what it becomes."""


@dataclass(frozen=True, slots=True)
class Upcycling:
    """The method with its parameters bound."""

    gate: Gate
    noise: float
    residual_scale: float
    seed: int


@expert_method(
    "upcycle",
    verb="upcycle",
    paper="arXiv:2212.05055",
    code="github.com/arcee-ai/mergekit",
    parity="arcee-ai/mergekit@a6e40288: gates hidden, hidden_avg, cheap_embed to 1e-5 where no prompt is padded",
)
def upcycle(
    *,
    gate: Gate = "hidden",
    noise: Annotated[float, Range(0)] = 0.0,
    residual_scale: Positive = 1.0,
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0,
) -> Upcycling:
    """Make a mixture of experts: the base's attention, norms and embeddings; one expert from each model's MLPs.

    row of expert j = h / |h|, h = mean over its prompts of what the base makes of them, less that of negative prompts

    Experts that equal the base give the base's own outputs whatever the router says, as chosen gates add up to 1.

    Args:
        gate: what h is: hidden states that enter a layer at the prompt's last token (hidden) or their mean
            (hidden_avg); the mean of what enters the layer's MLP, which is what the router will see (mlp_input); the
            sum of token embeddings, the same for all layers (cheap_embed). Or rows drawn at random (random,
            uniform_random), for models that will be trained.
        noise: standard deviation of normal noise that is added to every expert's weights, so that copies can part.
        residual_scale: factor of every expert's down projection.
        seed: of noise and random gates.

    Differs:
        The tool averages and reads last tokens with padding counted; here padding never counts.
        The tool runs the base in bfloat16; here in float32. Gate mlp_input is ours.
        Noise and scale are the same for all experts; there are no shared experts, and so no Qwen2-MoE.

    Example:
        >>> upcycle(gate="random").residual_scale
        1.0
    """
    return Upcycling(gate, noise, residual_scale, seed)


def upcycled(
    base: Checkpoint, experts: Sequence[Checkpoint], rows: Tensor, method: Upcycling, *, top: int = 2
) -> Checkpoint:
    """The mixture as a view. Nothing is read.

    Args:
        base: gives all but the MLPs.
        experts: each gives its MLPs; the base itself may be one.
        rows: of the routers, (layers, experts, width).
        method: noise and scale.
        top: experts that a token is sent to.

    Raises:
        PlanError: a model of a family that no mixture is known for, or of another than the base.
        ShapeMismatch, MissingTensor: an MLP does not fit the base. BadParameter: `top` does not fit.
    """
    family = family_of(base)
    if not 1 <= top <= len(experts):
        raise BadParameter("`top_k` is not usable.", got=top, want=f"a whole number in [1, {len(experts)}]")
    own = mlps_of(base)
    given = [_fitting(expert, own, base) for expert in experts]
    dropped = {leaf.tensor for leaf in own.values()}
    table: dict[str, Source] = {name: source for name, source in base.table.items() if name not in dropped}
    for layer in sorted({layer for layer, _ in own}):
        for role, part in zip(_MLP, family.parts, strict=True):
            for e, (expert, found) in enumerate(zip(experts, given, strict=True)):
                leaf = found[layer, role]
                name = f"model.layers.{layer}.{part.format(e)}.weight"
                scale = method.residual_scale if role == _MLP[2] else 1.0
                table[name] = _source(expert, leaf, name, scale, method)
        natural = table[f"model.layers.{layer}.{family.parts[0].format(0)}.weight"].natural
        table[f"model.layers.{layer}.{family.router}.weight"] = _router(rows[layer], natural)
    return replace(base, table=table, config=config_of(base, family, len(experts), top), weak_id="")


def family_of(base: Checkpoint) -> Family:
    """What a dense model becomes.

    Raises:
        PlanError: no mixture is known that holds its layers.
    """
    kind = str(base.config.get("model_type", ""))
    if kind not in FAMILIES:
        want = ", ".join(FAMILIES)
        raise PlanError("No mixture of experts is known for this model.", where=base.ref, got=kind or "?", want=want)
    family = FAMILIES[kind]
    odd = [key for key in family.without if base.config.get(key)]
    if odd:
        got, want = f"{odd[0]} in {kind}", f"layers that {family.model_type} has too"
        raise PlanError("No mixture of experts is known for this model.", where=base.ref, got=got, want=want)
    return family


def mlps_of(model: Checkpoint) -> dict[tuple[int, str], Leaf]:
    """(layer, role) -> leaf of every dense MLP.

    Raises:
        PlanError: an MLP holds something else than gate, up and down.
    """
    leaves = identify(model.config, model.table).leaves(model.specs, model.config)
    found = [leaf for leaf in leaves if leaf.layer is not None and leaf.role.startswith("mlp")]
    odd = [leaf.name for leaf in found if leaf.role not in _MLP or len(leaf.shape) != 2]
    if odd or not found:
        raise PlanError("The MLPs are not gate, up and down projections.", where=model.ref, got=", ".join(odd[:3]))
    return {(leaf.layer, leaf.role): leaf for leaf in found if leaf.layer is not None}


def config_of(base: Checkpoint, family: Family, experts: int, top: int) -> dict[str, Any]:
    """The mixture's config.json: the base's, with what the family needs."""
    kept = {key: value for key, value in base.config.items() if key not in (*family.without, "auto_map")}
    made = {**kept, "architectures": [family.head], "model_type": family.model_type, **family.own}
    if family.model_type == "mixtral" and base.config.get("model_type") == "llama":
        made["sliding_window"] = None
    return made | {family.inner: base.config["intermediate_size"], family.count: experts, "num_experts_per_tok": top}


def _fitting(expert: Checkpoint, own: Mapping[tuple[int, str], Leaf], base: Checkpoint) -> dict[tuple[int, str], Leaf]:
    """An expert's MLPs, which must be shaped as the base's."""
    kinds = [str(model.config.get("model_type", "")) for model in (expert, base)]
    if FAMILIES.get(kinds[0]) is not FAMILIES[kinds[1]]:
        raise PlanError("An expert is of another family than the base.", where=expert.ref, got=kinds[0], want=kinds[1])
    if expert.config.get("hidden_act") != base.config.get("hidden_act"):
        got, want = expert.config.get("hidden_act"), base.config.get("hidden_act")
        raise PlanError("An expert has another activation than the base.", where=expert.ref, got=got, want=want)
    found = mlps_of(expert)
    if odd := sorted({*own} ^ {*found}):
        raise MissingTensor("An expert has other layers than the base.", where=expert.ref, got=odd[0])
    for key, leaf in own.items():
        if found[key].shape != leaf.shape:
            where = f"{expert.ref}, {leaf.name}"
            raise ShapeMismatch("An MLP has another shape.", where=where, got=found[key].shape, want=leaf.shape)
    return found


def _source(expert: Checkpoint, leaf: Leaf, name: str, scale: float, method: Upcycling) -> Source:
    source = expert.table[leaf.tensor]
    whole = math.prod(leaf.shape) == source.spec.numel
    part = source if whole else Part(source, leaf.start, leaf.shape)
    return part if scale == 1 and method.noise == 0 else Changed(name, part, scale, method.noise, method.seed)


def _router(rows: Tensor, natural: DType) -> Source:
    import torch

    return MemorySource(rows.to(getattr(torch, natural.torch_name)).contiguous())


@dataclass(frozen=True, slots=True, eq=False)
class Changed:
    """A tensor with noise added, times a factor; noise hangs on seed, name and place alone."""

    name: str
    source: Source
    scale: float
    noise: float
    seed: int

    @property
    def spec(self) -> TensorSpec:
        """As the source."""
        return self.source.spec

    @property
    def natural(self) -> DType:
        """As the source."""
        return self.source.natural

    def read(self, reader: ByteReader, start: int, stop: int) -> Tensor:
        """(values + noise) * scale, rounded once; noise is the same whatever slice is asked."""
        import torch

        values = self.source.read(reader, start, stop)
        total = values.to(torch.float32, copy=True)
        for first in range(start - start % _TILE, stop if self.noise else start, _TILE):
            low, high = max(first, start), min(first + _TILE, stop)
            total[low - start : high - start] += self.noise * self._drawn(first // _TILE)[low - first : high - first]
        return (total * self.scale).to(values.dtype)

    def _drawn(self, tile: int) -> Tensor:
        """Normal draws of one tile: all of it, as a part would be drawn otherwise."""
        import torch

        from solera.checkpoints.identity import hasher

        key = hasher().update(f"{self.seed} {self.name} {tile}".encode()).digest()[:7]
        draw = torch.Generator().manual_seed(int.from_bytes(key, "little"))
        return torch.randn(_TILE, generator=draw)

    def cost_bytes(self, start: int, stop: int) -> int:
        """As the source."""
        return self.source.cost_bytes(start, stop)
