"""AIM: after any merge, channels that the base uses much are moved less.

Source: Activation-Informed Merging of Large Language Models (arXiv:2502.02421); official code
ahnobari/ActivationInformedMerging MergeModels/ActivationMerging/_utils.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from solera.ops.contract import Chain, Facts, Stack, Step, chain
from solera.registry import Fraction
from solera.registry.steps import wrapper
from solera.types import DELTA, ELEMENT

ACTIVATION_NORM = "base:activation_norm"


def relax_by_activations(omega: float) -> Step:
    """Multiply every input channel of a task vector by 1 - r (1 - omega), r its activation over the largest.

    Shape: (models, *unit) -> (models, *unit)
    """

    def apply(stack: Stack, facts: Facts) -> Stack:
        given = facts.statistics.get(ACTIVATION_NORM)
        if given is None:
            return stack
        return stack.but(stack.values * _over_unit(relaxed(given[0].to(stack.values), omega), stack, facts))

    return Step("relax_by_activations", apply, parameters={"omega": omega})


def relaxed(activations: Tensor, omega: float) -> Tensor:
    """Factor of every channel; 1 everywhere where nothing was active.

    Example:
        >>> relaxed(torch.tensor([0.5, 1.0, 0.25]), 0.4)
        tensor([0.7000, 0.4000, 0.8500])
    """
    size = activations.abs()
    largest = size.max() if size.numel() else size.new_zeros(())
    return 1 - (size / largest if bool(largest > 0) else torch.zeros_like(size)) * (1 - omega)


def _over_unit(factors: Tensor, stack: Stack, facts: Facts) -> Tensor:
    """The factor of every entry of a unit, which may be any run of the flattened tensor."""
    axis = facts.in_axis % len(facts.shape) if len(facts.shape) > 1 else 0
    inner = math.prod(facts.shape[axis + 1 :])
    unit = stack.values[0]
    places = torch.arange(facts.start, facts.start + unit.numel(), device=unit.device)
    return factors[places.div(inner, rounding_mode="floor") % factors.numel()].reshape(unit.shape)


@wrapper("aim", space=DELTA, grain=ELEMENT, paper="arXiv:2502.02421", statistics=(ACTIVATION_NORM,))
def aim(inner: Chain, omega: Fraction = 0.4) -> Chain:
    """Keep the merged model near the base in the input channels that the base uses most: activation-informed merging.

    Every input channel of the merged task vector is multiplied by 1 - r (1 - omega), where r is the mean magnitude of
    the base's activation there, over that of the layer's most active channel. It asks for `activation_norm` of the
    base; biases, embeddings and all else without it stay as merged.

    Args:
        inner: the chain of the method.
        omega: factor of the most active channel; 1 changes nothing, 0 keeps the base there. The paper has 0.2 to 0.6.

    Differs:
        A head that is tied to the embeddings is not relaxed; the official code relaxes it and leaves the tied
        embeddings alone.
    """
    return chain(inner, relax_by_activations(omega))
