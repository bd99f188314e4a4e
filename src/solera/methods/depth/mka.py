"""Several layers in one: weighted sums of their matrices.

Source: "Pruning via Merging: Compressing LLMs via Manifold Alignment Based Layer Merging" (MKA, arXiv:2406.16330).
Which layers are merged, and with what weights, is chosen from what they do on data (`similarity.py`, `folding.py`); a
recipe says it as slices of several sources, and this method is what runs.
"""

from __future__ import annotations

from typing import Literal

from solera.errors import BadParameter
from solera.ops.combine import SMALL_SUM
from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.ops.fold import spread, weighted_total
from solera.registry import PerModel, Weight, method
from solera.types import ELEMENT, WEIGHT, NumericClass

Norms = Literal["first", "average"]


@method(
    "mka",
    space=WEIGHT >> WEIGHT,
    grain=ELEMENT,
    symmetric=False,
    numeric=NumericClass.EXACT,
    paper="arXiv:2406.16330",
    code="github.com/SempraETY/Pruning-via-Merging",
    law_optouts={"results_are_distinct": "the law's tensor is a matrix; norms and what lies outside layers are kept"},
)
def mka(weight: PerModel[Weight] = 1.0, *, norms: Norms = "first") -> Chain:
    """Merge layers into one: matrices are averaged with weights, norms are the first layer's.

    theta' = sum_l w_l theta_l / sum_l w_l

    In a slice of several sources the operands are layers; a slice of one source is copied bit for bit, and so is
    everything outside the layers. `solera learn depth` measures layers and writes such a recipe.

    Args:
        weight: of each layer; divided by their sum.
        norms: first takes the first layer's norms, as the paper's code means to; average treats them like the rest.

    Raises:
        BadParameter: the weights of a slice add up to zero.

    Differs:
        The published script's merge is lost: it assigns to copies, so that layers are dropped and nothing is merged.
        Here the weights are merged; drop layers with `weight: 1` for the first and 0 for the others, or `passthrough`.
        Biases are merged with their matrices; the script names matrices only.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> layers = as_stack(torch.tensor([1.0, 2.0]), torch.tensor([5.0, 2.0]))
        >>> run_whole(mka(weight=(3.0, 1.0)), layers, Facts(shape=(2,), layer=4, role="mlp.up"))
        tensor([2., 2.])
        >>> run_whole(mka(weight=(3.0, 1.0)), layers, Facts(shape=(2,), layer=4, role="norm"))
        tensor([1., 2.])
    """
    if abs(sum(weight) if isinstance(weight, tuple) else weight) <= SMALL_SUM:
        raise BadParameter("`weight` adds up to zero.", got=weight, want="weights of the layers with another sum")

    def apply(stack: Stack, facts: Facts) -> Stack:
        first = facts.layer is None or (norms == "first" and facts.role.partition(".")[0] == "norm")
        weights = spread(weight, stack.models, name="weight")
        shares = [one / sum(weights) for one in weights]
        taken = [(value, share) for value, share in zip(stack.values, shares, strict=True) if share != 0]
        if first or len(taken) == 1:
            return stack.reduced(stack.values[0] if first else taken[0][0])
        return stack.reduced(weighted_total([value for value, _ in taken], [share for _, share in taken]))

    return chain(Step("mka", apply, parameters={"weight": weight, "norms": norms}))
