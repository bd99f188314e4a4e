"""What single experts do with data: how router logits go together, what experts give for their tokens, and for all.

Inside `ExpertFolds.on`, the forward of every layer's experts is a loop that looks at each output on its way, so that
nothing is computed twice. All kinds go by the leaf of the router's weight.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from solera.errors import PlanError
from solera.learn.statistics.contract import Batch
from solera.learn.statistics.inputs import real_rows
from solera.learn.statistics.sites import Anatomy

GRAM, ACTIVATION, OUTPUT = "router_gram", "expert_activation", "expert_output"
KINDS = (GRAM, ACTIVATION, OUTPUT)
TOKENS, GATE, NORM, GATED = range(4)
"""Rows of `expert_activation`."""


@dataclass(frozen=True, slots=True)
class Site:
    """A layer with experts: names of the modules of its router and its experts, the leaf of the router's weight."""

    router: str
    experts: str
    leaf: str


def expert_sites(model: nn.Module, anatomy: Anatomy) -> tuple[Site, ...]:
    """The layers of a live model that have experts.

    Raises:
        PlanError: there are none, or they are not held as transformers 5 holds them.
    """
    layers: dict[tuple[str, int | None], str] = {}
    for name, leaves in anatomy.leaves.items():
        if leaves[0].expert is not None:
            layers[leaves[0].stack, leaves[0].layer] = name.rpartition(".")[0]
    by_layer = {(each[0].stack, each[0].layer): each[0].name for each in anatomy.leaves.values() if _is_router(each[0])}
    routers = {leaf: name for name, leaf in anatomy.routers.items()}
    found = tuple(Site(routers[by_layer[at]], module, by_layer[at]) for at, module in layers.items() if at in by_layer)
    if not found:
        want = "a mixture of experts that is known here, as Mixtral, Qwen-MoE, OLMoE or GLM-4"
        raise PlanError("No experts are known in this model.", where=type(model).__name__, want=want)
    for site in found:
        _check(model.get_submodule(site.experts), site.experts)
    return found


def _is_router(leaf: Any) -> bool:
    return leaf.role == "router" and len(leaf.shape) == 2 and leaf.shape[0] > 1


def _check(module: Any, name: str) -> None:
    """Whether experts are computed as the loop here does."""
    fused = all(isinstance(getattr(module, weight, None), Tensor) for weight in ("gate_up_proj", "down_proj"))
    plain = not any(getattr(module, flag, False) for flag in ("is_transposed", "has_bias", "has_post_expert_norm"))
    if not (fused and plain and getattr(module, "has_gate", True) and hasattr(module, "act_fn")):
        want = "gate_up_proj and down_proj without biases, as Mixtral and Qwen-MoE have in transformers 5"
        raise PlanError("These experts cannot be looked at.", where=name, got=type(module).__name__, want=want)


@dataclass(eq=False)
class ExpertFolds:
    """Sums in float64, while its hooks are on a model; `batch` is what the model is being run on."""

    sites: tuple[Site, ...]
    kinds: Collection[str]
    batch: Batch | None = None
    sums: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    rows: dict[tuple[str, str], int] = field(default_factory=dict)

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Look at routers and experts; everything is as it was at the end, whatever happens."""
        with ExitStack() as undo:
            for site in self.sites:
                if GRAM in self.kinds:
                    handle = model.get_submodule(site.router).register_forward_hook(self._logits(site.leaf))
                    undo.callback(handle.remove)
                if ACTIVATION in self.kinds or OUTPUT in self.kinds:
                    undo.enter_context(_instead(model.get_submodule(site.experts), self._forward(site.leaf)))
            yield

    def _logits(self, leaf: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            rows = real_rows(_router_logits(module, args[0], output), self.batch).double()
            self._add(GRAM, leaf, rows.T @ rows, len(rows))

        return hook

    def _forward(self, leaf: str) -> Any:
        def forward(module: Any, hidden: Tensor, index: Tensor, weights: Tensor) -> Tensor:
            real = self._real(hidden)
            result, experts = torch.zeros_like(hidden), int(module.down_proj.shape[0])
            sums = torch.zeros(4, experts, dtype=torch.float64)
            means = torch.zeros(experts, hidden.shape[-1], dtype=torch.float64)
            for expert in range(experts):
                tokens, place = torch.where(index == expert)
                if OUTPUT in self.kinds:
                    every = one_output(module, expert, hidden)
                    means[expert] = every[real].double().sum(0).cpu()
                    given = every[tokens]
                elif len(tokens):
                    given = one_output(module, expert, hidden[tokens])
                else:
                    continue
                gates = weights[tokens, place]
                sums[:, expert] = _activation(given[real[tokens]], gates[real[tokens]])
                result.index_add_(0, tokens, (given * gates[:, None]).to(result.dtype))
            if ACTIVATION in self.kinds:
                self._add(ACTIVATION, leaf, sums, 1)
            if OUTPUT in self.kinds:
                self._add(OUTPUT, leaf, means, int(real.sum()))
            return result

        return forward

    def _real(self, hidden: Tensor) -> Tensor:
        """(rows,), true where a token is no padding."""
        marks = torch.arange(len(hidden)).reshape(-1, 1)
        real = torch.zeros(len(hidden), dtype=torch.bool)
        real[real_rows(marks, self.batch).reshape(-1)] = True
        return real.to(hidden.device)

    def _add(self, kind: str, leaf: str, values: Tensor, rows: int) -> None:
        key = (kind, leaf)
        self.sums[key] = values.cpu() + self.sums.get(key, torch.zeros_like(values.cpu()))
        self.rows[key] = self.rows.get(key, 0) + rows

    def finished(self) -> Mapping[str, dict[str, Tensor]]:
        """Kind -> leaf -> float32: means over tokens; of `expert_activation` the sums."""
        found: dict[str, dict[str, Tensor]] = {kind: {} for kind in KINDS if kind in self.kinds}
        for (kind, leaf), total in self.sums.items():
            whole = total if kind == ACTIVATION else total / max(self.rows[kind, leaf], 1)
            found[kind][leaf] = whole.to(torch.float32)
        return found


def one_output(module: Any, expert: int, rows: Tensor) -> Tensor:
    """What one expert gives, before its gate.

    Shape: (rows, width) -> (rows, width)
    """
    inner = linear(rows, module.gate_up_proj[expert])
    apply = getattr(module, "_apply_gate", None)
    if apply is not None:
        inner = apply(inner)
    else:
        gate, up = inner.chunk(2, dim=-1)
        inner = module.act_fn(gate) * up
    return linear(inner, module.down_proj[expert])


def _activation(given: Tensor, gates: Tensor) -> Tensor:
    """Sums over an expert's tokens: of 1, of the gate, of the output's norm, of their product."""
    norms, gates = torch.linalg.vector_norm(given.float(), dim=-1).double(), gates.double()
    return torch.stack([torch.tensor(float(len(norms))).double(), gates.sum(), norms.sum(), (norms * gates).sum()])


def _router_logits(module: Any, given: Tensor, output: Any) -> Tensor:
    """(tokens, experts): the router's own logits where it gives them, else its weight times its input."""
    experts = int(module.weight.shape[0])
    first = output[0] if isinstance(output, tuple) else output
    if isinstance(first, Tensor) and first.is_floating_point() and first.shape[-1] == experts:
        return first.reshape(-1, experts)
    return linear(given.reshape(-1, given.shape[-1]).float(), module.weight.float())


@contextmanager
def _instead(module: Any, forward: Any) -> Iterator[None]:
    """Another forward for one module, for a while."""
    had = module.__dict__.get("forward")
    module.forward = lambda *args: forward(module, *args)
    try:
        yield
    finally:
        del module.forward
        if had is not None:
            module.forward = had
