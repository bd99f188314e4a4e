"""What WUDI and its kin share: the loss of interference between task vectors, as one quadratic form.

L(M) = sum_k ||(M - T_k) P_k^T||^2 / ||t_k||^2 has the gradient 2 (M C - D) with

C = sum_k P_k^T P_k / ||t_k||^2  (in x in),   D = sum_k T_k P_k^T P_k / ||t_k||^2  (out x in)

so that no step has to look at the task vectors again. In WUDI targets T_k and projectors P_k are the task vectors
themselves. A zero task vector adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from solera.ops.fold import total
from solera.ops.lowrank import NULL, eigenpairs, row_blocks
from solera.ops.spectral import mean_of_models

Others = Literal["base", "mean", "sum"]
"""What becomes of leaves that are no matrices, and of embeddings and heads: they stay, or get their mean or sum."""

Start = Literal["sum", "mean", "zero"]
"""The merged task vector from which a solution departs."""

SMALLEST = 1e-37
"""Norms below this are those of zero matrices: float32 has no inverse for them."""


@dataclass(frozen=True, slots=True)
class Quadratic:
    """The loss of one matrix: `curvature` is C, (in, in); `pull` is D, (out, in)."""

    curvature: Tensor
    pull: Tensor

    def gradient(self, at: Tensor) -> Tensor:
        """2 (M C - D)."""
        return (at @ self.curvature - self.pull) * 2


def quadratic_of(targets: Iterable[Tensor], grams: Iterable[Tensor]) -> Quadratic:
    """C and D from T_k (out, in) and P_k^T P_k / ||t_k||^2 (in, in), added left to right, in the type of the latter."""
    pairs = iter(zip(targets, grams, strict=True))
    target, gram = next(pairs)
    curvature, pull = gram.clone(), target.to(gram.dtype) @ gram
    for target, gram in pairs:
        curvature += gram
        pull += target.to(gram.dtype) @ gram
    return Quadratic(curvature, pull)


def unit_grams(matrices: Tensor, *, wide: bool = True) -> Iterator[Tensor]:
    """t_k^T t_k / ||t_k||^2, one after another; a zero matrix gives zeros.

    Args:
        matrices: (models, out, in).
        wide: in float64, for solvers that divide by small eigenvalues; otherwise in the type of the matrices.
    """
    for matrix, norm in zip(matrices, norms_of(matrices).tolist(), strict=True):
        kind = torch.float64 if wide else matrix.dtype
        gram = matrix.new_zeros((matrix.shape[1], matrix.shape[1]), dtype=kind)
        for block in row_blocks(matrix) if norm else ():
            scaled = (block / norm).to(kind)
            gram += scaled.T @ scaled
        yield gram


def norms_of(matrices: Tensor) -> Tensor:
    """Frobenius norms in float64; those too small to be divided by are 0.

    Example:
        >>> norms_of(torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]]]))
        tensor([5., 0.], dtype=torch.float64)
    """
    norms = torch.stack([torch.linalg.vector_norm(matrix, dtype=torch.float64) for matrix in matrices])
    return torch.where(norms < SMALLEST, 0.0, norms)


def start_of(matrices: Tensor, start: Start) -> Tensor:
    """The merged task vector to depart from."""
    if start == "zero":
        return torch.zeros_like(matrices[0])
    return total(matrices) if start == "sum" else mean_of_models(matrices)


def others_by(others: Others) -> Callable[[Tensor], Tensor]:
    """The rule for leaves that are no matrices: (models, *leaf) -> leaf.

    Example:
        >>> others_by("base")(torch.ones(2, 3))
        tensor([0., 0., 0.])
    """
    if others == "base":
        return lambda values: torch.zeros_like(values[0])
    return total if others == "sum" else mean_of_models


def filtered(quadratic: Quadratic, start: Tensor, passed: Callable[[Tensor], Tensor]) -> Tensor:
    """The solution along the eigenvectors of C, each as far as `passed` lets it: M0 (1 - f) + D f / e, in float64.

    `passed` takes the eigenvalues, ascending, and gives a share in [0, 1] for each; 1 everywhere is the minimum that
    is nearest to the start. Null directions of C keep the start.
    """
    values, vectors = eigenpairs(quadratic.curvature)
    alive = values > NULL**2 * values[-1:].clamp(min=0)
    shares = torch.where(alive, passed(values), 0.0)
    begun, drawn = start.to(torch.float64) @ vectors, quadratic.pull @ vectors
    ends = torch.where(alive, drawn / torch.where(alive, values, 1.0), begun)
    return start.to(torch.float64) + ((ends - begun) * shares) @ vectors.T
