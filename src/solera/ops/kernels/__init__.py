"""Fused block kernels: a method's whole chain on stored elements, in one pass over memory, without torch."""

from solera.ops.kernels.kernel import Bad, Bound, FusedKernel, SummaryPass, fused
from solera.ops.kernels.recipe import Leaf, LeafFacts

__all__ = ["Bad", "Bound", "FusedKernel", "Leaf", "LeafFacts", "SummaryPass", "fused"]
