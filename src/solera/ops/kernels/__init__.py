"""Fused block kernels: a method's whole chain on stored elements, in one pass over memory, without torch."""

from solera.ops.kernels.finding import SummaryPass
from solera.ops.kernels.kernel import Bound, FusedKernel, fused
from solera.ops.kernels.operands import Bad
from solera.ops.kernels.recipe import Leaf, LeafFacts

__all__ = ["Bad", "Bound", "FusedKernel", "Leaf", "LeafFacts", "SummaryPass", "fused"]
