"""Architectures as data: leaf tensors, roles, layer order, ties, expert layout. No torch, no model code.

Example:
    >>> from solera.types import DType, TensorSpec
    >>> arch = identify({"model_type": "llama"}, ["model.embed_tokens.weight"])
    >>> arch.leaves({"model.embed_tokens.weight": TensorSpec(DType.F32, (8, 4))}, {})[0].role
    'embedding'
"""

from __future__ import annotations

from solera.arch.architecture import Architecture, compatible
from solera.arch.blueprint import Symmetry
from solera.arch.identify import identify
from solera.arch.values import Kind, LayerStack, Leaf

__all__ = ["Architecture", "Kind", "LayerStack", "Leaf", "Symmetry", "compatible", "identify"]
