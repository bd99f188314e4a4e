"""A live model whose weights are a differentiable merge: leaf by leaf, called by `torch.func.functional_call`.

The graph holds no task vector. Backwards, the gradient of a coefficient is the inner product of the gradient of the
merged weights with the task vector, taken unit by unit as the merge is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from solera.arch.values import Leaf
from solera.errors import PlanError
from solera.learn.coefficients.contract import Answer
from solera.learn.coefficients.groups import Grouping
from solera.learn.coefficients.vectors import Part, Span, Vectors, weighing
from solera.learn.statistics.contract import Batch
from solera.learn.statistics.sites import anatomy_of
from solera.plan.tasks import LeafTask, Plan
from solera.plan.tasks import Part as OutputPart
from solera.types import DType

Weights = Mapping[str, Tensor]
Score = Callable[[Answer], Tensor]
Spans = Callable[[LeafTask, int], tuple[Span, ...]]
"""(task, its group) -> how the leaf is cut."""


@dataclass(frozen=True, slots=True, eq=False)
class LiveTensor:
    """A parameter of the live model, made of leaves; `fixed` are its values where no leaf is merged."""

    name: str
    shape: tuple[int, ...]
    parts: tuple[Part, ...]
    dtype: torch.dtype
    fixed: Tensor | None = None


class _Merged(torch.autograd.Function):
    """(coefficients (groups, models), tensor, vectors) -> the merged tensor. Rounding passes gradients through."""

    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, tensor: LiveTensor, vectors: Vectors) -> Tensor:  # type: ignore[override]
        ctx.tensor, ctx.vectors, ctx.shape = tensor, vectors, coefficients.shape
        return merged(tensor, vectors, coefficients.detach().tolist())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        slopes = torch.zeros(ctx.shape, dtype=torch.float64)
        for part in ctx.tensor.parts:
            part.slopes(ctx.vectors, gradient.reshape(-1), slopes)
        return slopes.float(), None, None


def merged(tensor: LiveTensor, vectors: Vectors, weights: Sequence[Sequence[float]]) -> Tensor:
    """A tensor of the merge by these coefficients, (groups, models)."""
    flat = torch.empty(torch.Size(tensor.shape).numel(), dtype=tensor.dtype, device=vectors.device)
    if tensor.fixed is not None:
        flat.copy_(tensor.fixed.reshape(-1))
    for part in tensor.parts:
        part.write(vectors, weights, flat)
    return flat.reshape(tensor.shape)


class _Scored(nn.Module):
    """Answer, loss and backward in one call, so that what is computed again backwards sees the merged weights too."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, score: Score, *, hidden: bool) -> Tensor:
        """The loss; where gradients are taken, they are at the leaves afterwards."""
        loss = score(ask(self.model, batch, hidden=hidden))
        if loss.requires_grad and torch.is_grad_enabled():
            torch.autograd.backward(loss)
        return loss.detach()


@dataclass(eq=False)
class Live:
    """The model, the tensors that are merged, and where their vectors come from."""

    model: nn.Module
    tensors: tuple[LiveTensor, ...]
    vectors: Vectors
    grouping: Grouping
    scored: _Scored = field(init=False)

    def __post_init__(self) -> None:
        """Wrap the model."""
        self.scored = _Scored(self.model)

    def weights(self, coefficients: Tensor) -> dict[str, Tensor]:
        """The merged weights by the names of live parameters, differentiable in `coefficients` (groups, models)."""
        apply: Callable[..., Tensor] = _Merged.apply
        return {t.name: apply(coefficients, t, self.vectors) for t in self.tensors}

    def loss(self, weights: Weights, batch: Batch, score: Score, *, hidden: bool = False) -> float:
        """Loss of a batch under some weights; gradients are added to those weights that ask for them."""
        given = {f"model.{name}": value for name, value in weights.items()}
        found = functional_call(self.scored, given, (batch, score), {"hidden": hidden})
        return float(found)

    @property
    def nbytes(self) -> int:
        """Bytes of all merged tensors."""
        return sum(torch.Size(t.shape).numel() * t.dtype.itemsize for t in self.tensors)


def open_live(
    plan: Plan, model: nn.Module, vectors: Vectors, group: Callable[[Mapping[str, Leaf]], Grouping], spans: Spans
) -> Live:
    """Find every merged leaf in a live model.

    The parameters of `model` that are merged as wholes are emptied: the merge takes their place.

    Raises:
        PlanError: the model does not hold what the merge makes: its architecture is not known.
    """
    model.eval()
    anatomy = anatomy_of(model).leaves
    grouping = group({leaf.name: leaf for leaves in anatomy.values() for leaf in leaves})
    made = {part.leaf: (part, tensor.dtype) for tensor in plan.outputs for part in tensor.parts}
    tensors = tuple(_tensors(model, anatomy, made, grouping, spans))
    reached = {id(part.task) for tensor in tensors for part in tensor.parts}
    lost = [part.leaf for part, _ in made.values() if isinstance(part.expr, LeafTask) and id(part.expr) not in reached]
    if lost:
        got = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        want = "a live model of the same leaves as the files"
        raise PlanError(
            "The architecture is not supported: tensors have no place in the live model.", got=got, want=want
        )
    _empty(model, tensors)
    return Live(model, tensors, vectors, grouping)


Made = Mapping[str, tuple[OutputPart, DType]]


def _tensors(
    model: nn.Module, anatomy: Mapping[str, tuple[Leaf, ...]], made: Made, grouping: Grouping, spans: Spans
) -> Iterator[LiveTensor]:
    """Live parameters with merged leaves; of tied names, the one that the files have."""
    taken: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        parts = tuple(_parts(anatomy.get(name, ()), made, grouping, spans))
        if not parts or id(value) in taken:
            continue
        taken.add(id(value))
        whole = sum(part.task.numel for part in parts) == value.numel()
        yield LiveTensor(name, tuple(value.shape), parts, value.dtype, None if whole else value.detach().clone())


def _parts(leaves: Sequence[Leaf], made: Made, grouping: Grouping, spans: Spans) -> Iterator[Part]:
    for leaf in leaves:
        part, dtype = made.get(leaf.name, (None, None))
        if part is None or dtype is None or not isinstance(part.expr, LeafTask):
            continue
        task = part.expr
        if task.numel != torch.Size(leaf.shape).numel():
            raise PlanError("Live model and files differ.", where=leaf.name, got=leaf.shape, want=str(task.shape))
        rounded = getattr(torch, dtype.torch_name)
        yield Part(leaf.start, task, spans(task, grouping.of[id(task)]), rounded, weighing(task)[1])


def _empty(model: nn.Module, tensors: Sequence[LiveTensor]) -> None:
    """Let go of what the merge replaces."""
    state = model.state_dict(keep_vars=True)
    for tensor in tensors:
        held = state[tensor.name]
        held.requires_grad = False
        held.data = held.data.new_empty(0)
    for value in model.parameters():
        value.requires_grad = False


def ask(model: nn.Module, batch: Batch, *, hidden: bool = False) -> Answer:
    """What a model says of a batch.

    Raises:
        PlanError: the model has no head that gives logits.
    """
    config = getattr(model, "config", None)
    inputs: dict[str, Any] = dict(batch.inputs)
    if getattr(config, "is_encoder_decoder", False) and batch.labels is not None:
        inputs["labels"] = batch.labels
    elif getattr(config, "use_cache", None) is not None:
        inputs["use_cache"] = False
    output = model(**inputs, **({"output_hidden_states": True} if hidden else {}))
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        want = "a model with a head that gives `logits`"
        raise PlanError("The frozen head is missing.", where=type(model).__name__, got=type(output).__name__, want=want)
    if batch.answers is not None:
        logits = logits[..., batch.answers]
    return Answer(logits, _real(batch, logits), _hidden(output) if hidden else ())


def _real(batch: Batch, logits: Tensor) -> Tensor | None:
    mask = batch.mask
    return mask if mask is not None and logits.dim() == 3 and mask.shape == logits.shape[:2] else None


def _hidden(output: Any) -> tuple[Tensor, ...]:
    """What every layer gives; embeddings are left out."""
    found = getattr(output, "decoder_hidden_states", None) or getattr(output, "hidden_states", None) or ()
    return tuple(found[1:])
