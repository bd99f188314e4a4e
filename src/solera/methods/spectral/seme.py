"""Bring models into the base's latent space by what their heads say of it, then select, calculate, erase: SeMe.

Sources: "SeMe: Training-Free Language Model Merging via Semantic Alignment" (arXiv:2505.20144), known by its abstract;
the semantic basis of "Vocabulary-Defined Semantics" (arXiv:2401.16184). No official code was found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from solera import registry
from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.ops.lowrank import NULL, eigenpairs, row_blocks
from solera.ops.spectral import as_matrices, from_matrices
from solera.registry import Fraction, method
from solera.types import DELTA, TENSOR, NumericClass, Scope

READERS = frozenset(
    ["attention.q", "attention.k", "attention.v", "mlp.gate", "mlp.up", "router", "expert.gate", "expert.up", "head"]
)
"""Roles whose inputs are the residual stream. An embedding's rows are vectors of that stream."""
WRITERS = frozenset(["attention.o", "mlp.down", "expert.down"])
"""Roles whose outputs are added to it."""

Maps = tuple[Tensor | None, ...]
"""One map (hidden x hidden) per model, from its latent space to the base's; None where it has the base's head."""


@method(
    "seme",
    space=DELTA >> DELTA,
    grain=TENSOR,
    symmetric=True,
    numeric=NumericClass.TOLERANCE,
    base="required",
    paper="arXiv:2505.20144",
    law_optouts={"results_are_distinct": "a single layer has no head, and without one this is sce"},
)
def seme(select_topk: Fraction = 1.0) -> Chain:
    """Map every model's weights into the base's latent space, as the heads of both define it, then merge by SCE.

    T_k = A_0^+ A_k with heads A (tokens x hidden): the latent vector of the base that comes nearest to the logits
    of a latent vector of model k. What writes to the residual stream becomes T_k W, what reads from it W T_k^-1,
    embeddings E T_k^T; vectors of norms stay. Task vectors are taken after that.

    Models that keep the base's head are merged by sce itself. Without a head leaf the embedding (tied) serves as one;
    without either, or where tokens are fewer than hidden units or heads of lower rank, nothing is mapped.

    Cost: one more pass over the models; per model and layer two products of (hidden, hidden) with the matrices.

    Args:
        select_topk: share of the entries that vary over models which SCE selects.

    Differs:
        reading: ours. Known of the paper are the semantic basis (columns of the head's pseudoinverse) and the order
        select, compute, erase; that maps act on both sides of the residual stream, and lead to the base, is ours.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> deltas = as_stack(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0]), base=torch.zeros(2))
        >>> run_whole(seme(), deltas, Facts(shape=(2,)))
        tensor([1.8333, 1.0000])
    """
    return chain(align_to_base(), registry.build("sce", {"select_topk": select_topk}))


def align_to_base() -> Step:
    """Task vectors of the models after their weights were mapped into the base's latent space.

    Shape: (models, *unit) -> (models, *unit)
    """

    def apply(stack: Stack, facts: Facts) -> Stack:
        maps: Maps = facts.summary
        if stack.base is None or all(map_ is None for map_ in maps):
            return stack
        mapped = [
            delta if map_ is None else _mapped(stack.base, delta, map_, facts)
            for delta, map_ in zip(stack.values, maps, strict=True)
        ]
        return stack.but(torch.stack(mapped))

    return Step("align_to_base", apply, HeadMaps(), grain=TENSOR)


@dataclass(slots=True)
class _Products:
    """A_0^T A_k of the base's (first) and every model's head, by the role that it was read from."""

    found: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeadMaps:
    """The maps from the models' latent spaces to the base's, from the one leaf that is head or embedding.

    Finished: one map per model, float64. State: models + 1 matrices of (hidden, hidden).
    """

    rounds: int = 1
    scope: Scope = Scope.POPULATION

    def init(self, round_: int, previous: Any) -> _Products:  # noqa: ARG002
        """Empty state."""
        return _Products()

    def add(self, state: _Products, stack: Stack, facts: Facts) -> _Products:
        """Take the products of a head."""
        if facts.role in ("head", "embedding") and len(facts.shape) == 2 and stack.base is not None:
            state.found[facts.role] = _products(stack.base, stack.values)
        elif not state.found:
            state.found["none"] = torch.zeros(stack.models + 1, 0, 0, dtype=torch.float64)
        return state

    def merge(self, left: _Products, right: _Products) -> _Products:
        """Join two states."""
        return _Products({**left.found, **right.found})

    def finish(self, round_: int, state: _Products) -> Maps:  # noqa: ARG002
        """The maps; None for models whose head is the base's, and for all where the base's does not span its space."""
        products = next((state.found[role] for role in ("head", "embedding", "none") if role in state.found), None)
        return () if products is None else _maps(products)


def _products(base: Tensor, deltas: Tensor) -> Tensor:
    """A_0^T A_0, and A_0^T (A_k - A_0) for every model, in float64."""
    products = base.new_zeros((len(deltas) + 1, base.shape[1], base.shape[1]), dtype=torch.float64)
    for product, other in zip(products, (base, *deltas), strict=True):
        for left, right in zip(row_blocks(base), row_blocks(other), strict=True):
            product.add_(left.T @ right)
    return products


def _maps(products: Tensor) -> Maps:
    """1 + (A_0^T A_0)^-1 A_0^T (A_k - A_0)."""
    models = len(products) - 1
    if not products.numel():
        return (None,) * models
    values, vectors = eigenpairs(products[0])
    if values[0] <= NULL * values[-1]:
        return (None,) * models
    inverse = (vectors / values) @ vectors.T
    unit = torch.eye(len(values), dtype=torch.float64, device=values.device)
    found = [unit + inverse @ product for product in products[1:]]
    return tuple(
        map_ if product.any() and _is_invertible(map_) else None
        for map_, product in zip(found, products[1:], strict=True)
    )


def _is_invertible(map_: Tensor) -> bool:
    """Whether nothing of a model's latent space is lost in the base's."""
    values = eigenpairs(map_.T @ map_)[0]
    return bool(values.isfinite().all() and values[0] > NULL * values[-1])


def _mapped(base: Tensor, delta: Tensor, map_: Tensor, facts: Facts) -> Tensor:
    """The task vector of the mapped weights; as it is where a leaf has no side on the residual stream."""
    width = map_.shape[0]
    if len(facts.shape) == 1 and facts.role in WRITERS and facts.shape[0] == width:
        return _moved(map_, base, delta)
    if len(facts.shape) < 2 or facts.role not in READERS | WRITERS | {"embedding"}:
        return delta
    start, step = (as_matrices(value.unsqueeze(0), facts)[0] for value in (base, delta))
    if facts.role in WRITERS and start.shape[-2] == width:
        return from_matrices(_moved(map_, start, step), facts)
    if facts.role not in WRITERS and start.shape[-1] == width:
        other = map_ if facts.role == "embedding" else torch.linalg.inv(map_).T
        return from_matrices(_moved(other, start.mT, step.mT).mT, facts)
    return delta


def _moved(map_: Tensor, base: Tensor, delta: Tensor) -> Tensor:
    """The map of (base + delta), less the base, with the map's distance from 1 kept apart from what it acts on."""
    model = base.to(torch.float64) + delta
    change = map_ - torch.eye(len(map_), dtype=torch.float64, device=map_.device)
    return (delta + change @ model).to(delta.dtype)
