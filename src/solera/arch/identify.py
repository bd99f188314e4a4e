"""Which architecture a model has: by its config, else by the names of its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from solera.arch import library
from solera.arch.architecture import Architecture, architecture
from solera.arch.infer import inferred


def identify(config: Mapping[str, Any], names: Iterable[str]) -> Architecture:
    """The architecture of a model, from config.json and its tensor names; never fails.

    Args:
        config: config.json as read; {} if there is none.
        names: all file tensor names.

    Example:
        >>> identify({"model_type": "llama"}, ["model.norm.weight"]).known
        True
        >>> identify({"model_type": "my_net"}, ["blocks.0.w", "blocks.1.w"]).known
        False
    """
    found = library.find(config)
    model_type = str(config.get("model_type") or "")
    if found is None:
        return inferred(config, tuple(names), model_type)
    head, *parts = found.parts
    name = f"{head}({', '.join(parts)})" if parts else head
    return architecture(name, found.plan, model_type=model_type or head, known=True)
