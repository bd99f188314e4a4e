"""One streaming collector: several kinds of statistics in one pass, more passes where memory asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from solera.checkpoints.statistics import known_kind
from solera.errors import BadParameter, NonFinite, PlanError
from solera.learn.statistics import experts, fisher, inputs
from solera.learn.statistics.contract import Batch, Batches, Collected, Extent, Listener, extent_of
from solera.learn.statistics.experts import ExpertFolds
from solera.learn.statistics.inputs import InputFolds, tasks_of
from solera.learn.statistics.layers import KIND as LAYER_OUTPUT
from solera.learn.statistics.layers import LayerOutputs, layer_modules
from solera.learn.statistics.passes import DEFAULT_MEMORY, Pass, Weight, passes_for, with_layers
from solera.learn.statistics.routers import RouterCounts
from solera.learn.statistics.sites import Anatomy, anatomy_of
from solera.learn.statistics.squares import Squares, ways_of
from solera.types import Event

Tensors = dict[str, dict[str, Tensor]]
"""Kind -> name -> tensor."""

ROUTED = ("router_frequency", *experts.KINDS)
"""Kinds that go by routers."""


def silent(event: Event) -> None:
    """Tell nobody."""
    del event


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be measured: of which model, in which passes, on how much data."""

    anatomy: Anatomy
    kinds: tuple[str, ...]
    passes: tuple[Pass, ...]
    extent: Extent
    memory: int
    seed: int = 0
    experts: tuple[experts.Site, ...] = ()


def collect(
    model: nn.Module,
    batches: Batches,
    kinds: Sequence[str],
    *,
    memory: int = DEFAULT_MEMORY,
    seed: int = 0,
    on_event: Listener = silent,
) -> dict[str, Collected]:
    """Measure statistics of a model.

    The model is put into eval mode and left as it was otherwise; no hook stays.

    Args:
        model: any model of transformers, or one whose forward takes the batches' inputs by name.
        batches: read once per pass.
        kinds: names of measured kinds, see `checkpoints.statistics.KINDS`.
        memory: bytes for sums and gradients beside the model; where sums do not fit there are more passes.
        seed: of labels that are drawn.
        on_event: told of progress.

    Returns:
        One `Collected` per kind, in the order of `kinds`.

    Raises:
        BadParameter: no data, a kind that this collector does not take, too little memory, labels missing.
        PlanError: the model has nothing of the kind (no routers).
        NonFinite: the model gives NaN or infinity on the data.

    Cost: a forward pass per pass; for Fisher information a backward pass per answer.

    Example:
        >>> layer = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False))
        >>> layer.forward = lambda x: layer[0](x)
        >>> found = collect(layer, [Batch({"x": torch.tensor([[1.0, 2.0], [3.0, 0.0]])})], ["gram"])
        >>> found["gram"].tensors["0.weight"]
        tensor([[5., 1.],
                [1., 2.]])
    """
    plan = plan_for(model, batches, kinds, memory=memory, seed=seed)
    tensors: Tensors = {kind: {} for kind in kinds}
    for number in range(len(plan.passes)):
        for kind, found in run_pass(plan, number, model, batches, on_event).items():
            tensors[kind] |= found
    return {kind: collected(plan, kind, tensors[kind]) for kind in kinds}


def plan_for(
    model: nn.Module, batches: Batches, kinds: Sequence[str], *, memory: int = DEFAULT_MEMORY, seed: int = 0
) -> Plan:
    """Look at model and data, and deal the work out to passes; no forward is run."""
    for kind in kinds:
        if not known_kind(kind).measured:
            fix = "see `solera learn statistics --help`"
            raise BadParameter(f"`{kind}` is not measured in a pass over one model.", fix=fix)
    extent, anatomy = extent_of(batches), anatomy_of(model)
    if any(kind in ROUTED for kind in kinds) and not anatomy.routers:
        raise PlanError("The model has no routers.", where=type(model).__name__, want="a mixture of experts")
    sites = experts.expert_sites(model, anatomy) if any(kind in experts.KINDS for kind in kinds) else ()
    weights = [
        Weight(kind, name, parameter.numel())
        for name, parameter in model.named_parameters()
        for kind in kinds
        if kind in fisher.KINDS and name in anatomy.leaves
    ]
    routed = any(kind in ROUTED for kind in kinds)
    passes = passes_for(tasks_of(kinds, anatomy.sites), weights, memory, routers=routed)
    if LAYER_OUTPUT in kinds:
        passes = with_layers(passes)
    return Plan(anatomy, tuple(kinds), passes, extent, memory, seed, sites)


def run_pass(plan: Plan, number: int, model: nn.Module, batches: Batches, on_event: Listener) -> Tensors:
    """One pass over the data; the tensors of every kind that it finishes."""
    one = plan.passes[number]
    folds = InputFolds(one.inputs)
    routers = RouterCounts(plan.anatomy.routers if one.routers and "router_frequency" in plan.kinds else {})
    single = ExpertFolds(plan.experts if one.routers else (), plan.kinds)
    layers = LayerOutputs(layer_modules(model, plan.anatomy) if one.layers else {})
    kinds = [kind for kind in plan.kinds if any(weight.kind == kind for weight in one.weights)]
    chosen = list(dict.fromkeys(weight.parameter for weight in one.weights))
    squares = Squares(ways_of(model, chosen, one_by_one=plan.anatomy.experts))
    rows = fisher.rows_at_once(squares.ways, plan.memory // 4)
    draw, done = torch.Generator().manual_seed(plan.seed), 0
    with evaluated(model):
        for batch in batches:
            folds.batch = routers.batch = single.batch = layers.batch = batch
            if one.inputs or one.routers or one.layers:
                with torch.no_grad(), folds.on(model), routers.on(model), single.on(model), layers.on(model):
                    forward(model, batch)
            if kinds:
                fisher.measure_fisher(model, batch, kinds, squares, draw, rows)
            done += batch.size
            label = f"pass {number + 1} of {len(plan.passes)}"
            on_event(Event("progress", label, done=done, total=plan.extent.samples, unit="samples"))
    found = _finished(plan, one, folds, routers, squares) | (_finite(single.finished()) if one.routers else {})
    return found | (_finite({LAYER_OUTPUT: layers.found()}) if one.layers else {})


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """In eval mode inside; as it was outside."""
    training = {name: module.training for name, module in model.named_modules()}
    model.eval()
    with ExitStack() as undo:
        for name, module in model.named_modules():
            undo.callback(setattr, module, "training", training[name])
        yield


def forward(model: nn.Module, batch: Batch) -> None:
    """Run the model for its hooks; a base model without head does too."""
    config = getattr(model, "config", None)
    seq2seq = getattr(config, "is_encoder_decoder", False) and batch.labels is not None
    own = {"labels": batch.labels} if seq2seq else {"use_cache": False} if hasattr(config, "use_cache") else {}
    model(**batch.inputs, **own)


def _finished(plan: Plan, one: Pass, folds: InputFolds, routers: RouterCounts, squares: Squares) -> Tensors:
    found: Tensors = {kind: folds.means(kind) for kind in plan.kinds if kind in inputs.KINDS}
    if one.routers and "router_frequency" in plan.kinds:
        found["router_frequency"] = routers.shares()
    for kind in {weight.kind for weight in one.weights}:
        found[kind] = _by_leaf(plan, one.weights, kind, squares.finished())
    return _finite(found)


def _finite(found: Mapping[str, dict[str, Tensor]]) -> Tensors:
    """The same, if all of it is finite."""
    for kind, tensors in found.items():
        for name, tensor in tensors.items():
            if not bool(tensor.isfinite().all()):
                fix = "look at the data, and at the model in its own precision"
                raise NonFinite("The model gives NaN or infinity on the data.", where=f"{kind} of {name}", fix=fix)
    return dict(found)


def _by_leaf(
    plan: Plan, weights: Sequence[Weight], kind: str, sums: Mapping[tuple[str, str], Tensor]
) -> dict[str, Tensor]:
    """Mean squared gradients over examples, cut into leaves; 0 where nothing reached a weight."""
    found = {}
    for name in (weight.parameter for weight in weights if weight.kind == kind):
        for leaf in plan.anatomy.leaves[name]:
            total = sums.get((kind, name))
            size = torch.Size(leaf.shape).numel()
            flat = torch.zeros(size) if total is None else total.reshape(-1)[leaf.start : leaf.start + size]
            found[leaf.name] = (flat / plan.extent.samples).to("cpu", torch.float32).reshape(leaf.shape)
    return found


def collected(plan: Plan, kind: str, tensors: Mapping[str, Tensor]) -> Collected:
    """A kind with its map from leaves to sites, and notes on inputs that nothing entered."""
    sites = {leaf: site.name for site in plan.anatomy.sites for leaf in site.leaves} if kind in inputs.KINDS else {}
    wanted = {task.site.name for one in plan.passes for task in one.inputs if task.kind == kind}
    idle = sorted(wanted - set(tensors)) if kind in inputs.KINDS else []
    notes = (f"{len(idle)} inputs were never used: {', '.join(idle[:3])}",) if idle else ()
    known = {leaf: name for leaf, name in sites.items() if name in tensors}
    return Collected(kind, tensors, known, plan.extent.samples, plan.extent.tokens, notes)
