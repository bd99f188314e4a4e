"""Weigh every input feature by how far its magnitude and direction moved: WIDEN.

Sources: "Extend Model Merging from Fine-Tuned to Pre-Trained Large Language Models via Weight Disentanglement"
(arXiv:2408.03092); official code yule-BUAA/MergeLLM, model_merging_methods/merging_methods.py.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.ops.fold import flat
from solera.ops.spectral import as_matrices, from_matrices
from solera.registry import Range, method
from solera.types import DELTA, TENSOR, NumericClass

ROUNDING = 1e-12
"""A rank that equals the mean is not above it, however the mean was rounded."""


@method(
    "widen",
    space=DELTA >> DELTA,
    grain=TENSOR,
    symmetric=True,
    numeric=NumericClass.TOLERANCE,
    base="required",
    paper="arXiv:2408.03092",
    code="github.com/yule-BUAA/MergeLLM",
    idempotent="features that moved more than average are added once per model",
    parity="yule-BUAA/MergeLLM@9178ef93 to 1e-6",
)
def widen(above_average: Annotated[float, Range(0)] = 1.0, calibration: float = 1.0) -> Chain:
    """Add task vectors, every input feature with a weight that follows from its rank among those that moved.

    out = base + sum_k (m_k + d_k) / 2 * t_k, feature by feature (columns of [out, in], tokens of an embedding)

    where m_k is the softmax over models of a feature's rank by change of norm, and d_k the same by change of
    direction (1 - cosine); ranks are taken within a model, as shares in [0, 1). A rank above `above_average` times its
    model's mean gives the score `calibration` instead. Vectors take |t_k| itself for the rank. Weights do not add up
    to 1: the method adds.

    Args:
        above_average: a feature is important when its rank is above this many times the mean rank.
        calibration: the score of important features.

    Differs:
        Norms, cosines and scores are taken in float64, and the mean rank is exact: official code in float32 may order
        near ties otherwise.
        A feature that is zero in base or model has cosine 0 (official: NaN); zero in both, it has not turned.
        Any model can be merged; official code takes the Llama naming only.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, Stack, run_whole
        >>> base = torch.tensor([[1.0, 2.0], [4.0, 5.0]])
        >>> deltas = torch.tensor([[[0.4, -0.2], [0.0, 0.3]], [[0.2, 0.4], [0.1, -0.1]]])
        >>> run_whole(widen(), Stack(deltas, base), Facts(shape=(2, 2)))
        tensor([[0.4133, 0.1378],
                [0.0689, 0.1378]])
    """

    def apply(stack: Stack, facts: Facts) -> Stack:
        assert stack.base is not None
        if len(facts.shape) < 2:
            scores = _scores(flat(stack.values).to(torch.float64).abs(), above_average, calibration)
            return stack.reduced(_added(stack.values, scores.reshape(stack.values.shape)))
        base, deltas = _by_feature(stack.base.unsqueeze(0), facts), _by_feature(stack.values, facts)
        merged = [
            _merged(base[0, k].to(torch.float64), deltas[:, k], above_average, calibration)
            for k in range(deltas.shape[1])
        ]
        return stack.reduced(_as_leaf(torch.stack(merged), facts) if merged else stack.values[0])

    parameters = {"above_average": above_average, "calibration": calibration}
    return chain(Step("weigh_features", apply, grain=TENSOR, parameters=parameters))


def _merged(base: Tensor, deltas: Tensor, above_average: float, calibration: float) -> Tensor:
    """One matrix: base (other, features), deltas (models, other, features)."""
    magnitudes, directions = _changes(base, deltas)
    scores = [_scores(_ranks(change), above_average, calibration) for change in (magnitudes, directions)]
    return _added(deltas, (0.5 * (scores[0] + scores[1])).unsqueeze(1))


def _changes(base: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor]:
    """How far the features' norms and directions moved, (models, features) each, in float64."""
    norm = torch.linalg.vector_norm(base, dim=0)
    magnitudes, directions = [], []
    for delta in deltas:
        model = base + delta
        length = torch.linalg.vector_norm(model, dim=0)
        product = length * norm
        cosine = torch.where(product > 0, (model * base).sum(0) / product, 0.0)
        magnitudes.append((length - norm).abs())
        directions.append(torch.where((length > 0) | (norm > 0), 1.0 - cosine, 0.0))
    return torch.stack(magnitudes), torch.stack(directions)


def _ranks(change: Tensor) -> Tensor:
    """Position of every feature in its model, ascending, as a share; equal changes keep their order."""
    places = torch.empty_like(change)
    order = change.argsort(dim=1, stable=True)
    shares = torch.arange(change.shape[1], dtype=change.dtype, device=change.device) / max(change.shape[1], 1)
    return places.scatter_(1, order, shares.expand_as(change).contiguous())


def _scores(significance: Tensor, above_average: float, calibration: float) -> Tensor:
    """Softmax over models; what is above average within its model gets the calibrated score."""
    if significance.shape[1] == 0:
        return significance
    mean = significance.mean(dim=1, keepdim=True) * above_average
    above = significance > mean * (1 + ROUNDING)
    return torch.where(above, calibration, significance.softmax(dim=0))


def _added(deltas: Tensor, scores: Tensor) -> Tensor:
    result = deltas[0] * scores[0].to(deltas.dtype)
    for delta, score in zip(deltas[1:], scores[1:], strict=True):
        result = result + delta * score.to(deltas.dtype)
    return result


def _by_feature(values: Tensor, facts: Facts) -> Tensor:
    """(models, matrices, other, features): a token of an embedding is a feature, not its hidden units."""
    if math.prod(facts.shape) == 0:
        return values.reshape(values.shape[0], 0, 0, 0)
    matrices = as_matrices(values, facts)
    return matrices.mT if facts.role == "embedding" else matrices


def _as_leaf(merged: Tensor, facts: Facts) -> Tensor:
    return from_matrices(merged.mT if facts.role == "embedding" else merged, facts)
