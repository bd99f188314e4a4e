"""RegMean and RegMean++: the linear layer whose outputs are nearest to those of all models, on their own inputs.

Sources: Dataless Knowledge Fusion by Merging Weights of Language Models (arXiv:2212.09849), official code
bloomberg/dataless-model-merging src/model_merge/avg_merger.py; RegMean++ (arXiv:2508.03121), official code
nthehai01/RegMean-plusplus, here as FusionBench has it (method/regmean_plusplus).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from solera.methods.informed.rest import weighted_mean
from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.ops.fold import spread
from solera.registry import Fraction, PerModel, Range, method
from solera.types import EITHER, TENSOR, NumericClass

GRAM, MERGED_GRAM = "gram", "merged_gram"
UNSEEN = 1e-7
"""Share of the largest eigenvalue below which no input was seen in a direction: float32 statistics resolve no more."""

NonNegative: TypeAlias = Annotated[float, Range(0)]


def fit_outputs(weight: float | Sequence[float], off_diagonal: float, *, statistic: str) -> Step:
    """Solve min_W sum_k c_k |X_k W - X_k W_k|^2 with off-diagonal entries of X_k'X_k shrunk.

    Solved for the difference to the mean of the models, so directions that no input has keep the mean.

    Shape:  (models, *shape) -> (1, *shape)
    Cost:   in^3 / 3 + (models + 1) in^2 out multiplications in float64; one (in, in) statistic in memory at a time.
    """

    def apply(stack: Stack, facts: Facts) -> Stack:
        given = facts.statistics.get(statistic)
        mean = weighted_mean(stack.values, weight)
        if given is None or mean.dim() != 2:
            return stack.reduced(mean)
        first = facts.in_axis % 2 == 0
        start = _inputs_first(mean, first=first)
        moved = [_inputs_first(value, first=first) - start for value in stack.values]
        step = _fitted(given, moved, spread(weight, stack.models), off_diagonal)
        return stack.reduced(_inputs_first_back(start + step, first=first).to(mean.dtype))

    parameters = {"weight": weight, "off_diagonal": off_diagonal}
    return Step("fit_outputs", apply, grain=TENSOR, parameters=parameters)


def _inputs_first(weight: Tensor, *, first: bool) -> Tensor:
    """A linear layer's weight as (in, out), in float64."""
    return (weight if first else weight.T).to(torch.float64)


def _inputs_first_back(weight: Tensor, *, first: bool) -> Tensor:
    return weight if first else weight.T.contiguous()


def _fitted(grams: Sequence[Tensor], moved: Sequence[Tensor], weights: Sequence[float], keep: float) -> Tensor:
    """(sum_k c_k G_k)^-1 sum_k c_k G_k W_k."""
    whole, right = torch.zeros(()), torch.zeros(())
    for k, weight in enumerate(weights):
        gram = shrunk(grams[k].to(torch.float64), keep) * weight
        whole, right = whole + gram, right + gram @ moved[k]
    return solved(whole, right)


def shrunk(gram: Tensor, keep: float) -> Tensor:
    """A matrix with its off-diagonal entries multiplied by `keep`.

    Example:
        >>> shrunk(torch.ones(2, 2), 0.5).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    return torch.where(torch.eye(len(gram), dtype=torch.bool, device=gram.device), gram, gram * keep)


def solved(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve for a symmetric matrix without negative eigenvalues: by Cholesky, or with the pseudo-inverse.

    Example:
        >>> solved(torch.tensor([[2.0, 0.0], [0.0, 0.0]]).double(), torch.ones(2, 1).double()).tolist()
        [[0.5], [0.0]]
    """
    factor, failed = torch.linalg.cholesky_ex(matrix)
    pivots = factor.diagonal().square()
    if not bool(failed) and bool(pivots.min() > UNSEEN * pivots.max()):
        return torch.cholesky_solve(right, factor)
    values, vectors = torch.linalg.eigh(matrix)
    seen = values > UNSEEN * values[-1].clamp(min=0)
    inverse = torch.where(seen, 1 / torch.where(seen, values, torch.ones_like(values)), torch.zeros_like(values))
    found: Tensor = vectors @ (inverse[:, None] * (vectors.T @ right))
    return found


@method(
    "regmean",
    space=EITHER >> EITHER,
    grain=TENSOR,
    base="optional",
    symmetric=True,
    numeric=NumericClass.TOLERANCE,
    paper="arXiv:2212.09849",
    code="bloomberg/dataless-model-merging src/model_merge/avg_merger.py",
    statistics=(GRAM,),
    variants={"no_shrink": {"off_diagonal": 1.0}, "diagonal": {"off_diagonal": 0.0}},
    parity="bloomberg/dataless-model-merging@92247ae, tanganke/fusion_bench@54c9e8c: 1e-6",
)
def regmean(weight: PerModel[NonNegative] = 1.0, off_diagonal: Fraction = 0.9) -> Chain:
    """Merge linear layers so that the outputs stay near those of every model on its own inputs.

    W = (sum_k c_k G_k)^-1 sum_k c_k G_k W_k,  G_k = X_k'X_k / n_k with off-diagonal entries times `off_diagonal`

    The statistic `gram` is the mean outer product of a layer's inputs. Everything without one (biases, norms,
    embeddings) gets the mean with weights c_k.

    Args:
        weight: c_k.
        off_diagonal: what the off-diagonal entries of G_k are multiplied by; 1 solves the plain problem, 0 weighs
            every input channel by its mean square. The paper finds 0.9 good for most models; released experiments
            have 0.1 for several; try 0.1, 0.5, 0.9, 0.95, 1.

    Differs:
        Solved by Cholesky in float64 for the difference to the mean; the official code inverts in float32.
        Directions that no model's inputs have keep the mean; the official inverse does not exist there.

    Example:
        >>> from solera.ops.contract import as_stack, run_whole
        >>> models = as_stack(torch.tensor([[3.0, 5.0]]), torch.tensor([[7.0, 11.0]]))
        >>> seen = {"gram": [torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])]}
        >>> run_whole(regmean(), models, Facts(shape=(1, 2), statistics=seen))
        tensor([[ 3., 11.]])
    """
    return chain(fit_outputs(weight, off_diagonal, statistic=GRAM))


@method(
    "regmean_plus_plus",
    space=EITHER >> EITHER,
    grain=TENSOR,
    base="optional",
    symmetric=True,
    numeric=NumericClass.TOLERANCE,
    paper="arXiv:2508.03121",
    code="nthehai01/RegMean-plusplus",
    statistics=(MERGED_GRAM,),
    parity="tanganke/fusion_bench@54c9e8c: 1e-6",
)
def regmean_plus_plus(weight: PerModel[NonNegative] = 1.0, off_diagonal: Fraction = 0.95) -> Chain:
    """Merge linear layers as RegMean does, on inputs that come out of the layers merged before them.

    W = (sum_k c_k G_k)^-1 sum_k c_k G_k W_k,  G_k = H_k'H_k / n_k, H_k the inputs behind merged layers

    The statistic `merged_gram` is measured layer by layer while merging: model k's layer, fed with what the merged
    layers before it make of model k's data. It belongs to the models and parameters that it was measured with.

    Args:
        weight: c_k.
        off_diagonal: what the off-diagonal entries of G_k are multiplied by; 0.95 is the official choice for CLIP,
            0.1 the one for language models.

    Differs:
        As RegMean here. Everything outside the linear layers of blocks is averaged; the official code for language
        models keeps the base's embeddings and head (a rule with `method: copy` does that).

    Example:
        >>> from solera.ops.contract import as_stack, run_whole
        >>> models = as_stack(torch.tensor([[3.0, 5.0]]), torch.tensor([[7.0, 11.0]]))
        >>> seen = {"merged_gram": [torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.diag(torch.tensor([1.0, 3.0]))]}
        >>> run_whole(regmean_plus_plus(off_diagonal=1.0), models, Facts(shape=(1, 2), statistics=seen))
        tensor([[3.1429, 8.5714]])
    """
    return chain(fit_outputs(weight, off_diagonal, statistic=MERGED_GRAM))
