"""Take one model's tensors as they are: the building block of stacked layers.

Source: no paper; the method of this name in arcee-ai/mergekit.
"""

from __future__ import annotations

from solera.ops.combine import weigh
from solera.ops.contract import Chain, chain
from solera.registry import PerModel, Weight, method
from solera.types import ELEMENT, WEIGHT, NumericClass


@method(
    "passthrough",
    space=WEIGHT >> WEIGHT,
    grain=ELEMENT,
    symmetric=True,
    numeric=NumericClass.EXACT,
    models=(1, 1),
    code="github.com/arcee-ai/mergekit",
    parity="mergekit 0.1.5",
)
def passthrough(scale: PerModel[Weight] = 1.0) -> Chain:
    """Copy one model's tensors, multiplied by a number where one is given.

    out = scale * x

    Args:
        scale: multiplies the tensor; 0 on an output projection silences a layer.

    Example:
        >>> import torch
        >>> from solera.ops.contract import Facts, as_stack, run_whole
        >>> run_whole(passthrough(scale=0.5), as_stack(torch.tensor([2.0, -4.0])), Facts(shape=(2,)))
        tensor([ 1., -2.])
    """
    return chain(weigh(scale, name="scale"))
