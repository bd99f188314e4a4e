"""Which architecture a model has: by its config, else by the names of its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from solera.arch import library
from solera.arch.architecture import Architecture, architecture
from solera.arch.infer import inferred
from solera.arch.library import Found
from solera.arch.reading import BUFFERS
from solera.arch.trie import template


def identify(config: Mapping[str, Any], names: Iterable[str]) -> Architecture:
    """The architecture of a model, from config.json and its tensor names; never fails.

    A config that names a type we describe decides. A config without a type (or none at all) leaves the names: if they
    fit a data file wholly, it is taken; otherwise stacks and roles are inferred. `notes` say what was assumed.

    Args:
        config: config.json as read; {} if there is none.
        names: all file tensor names.

    Example:
        >>> identify({"model_type": "llama"}, ["model.norm.weight"]).known
        True
        >>> identify({"model_type": "my_net"}, ["blocks.0.w", "blocks.1.w"]).known
        False
    """
    tensors = tuple(names)
    kinds = tuple({template(name)[0]: name for name in tensors}.values())
    model_type = str(config.get("model_type") or "")
    found = library.find(config)
    if found is not None:
        return _described(found, model_type or found.parts[0], kinds) or inferred(config, tensors, model_type)
    fitting = None if model_type else _by_names(kinds)
    return fitting or inferred(config, tensors, model_type)


def _described(found: Found, model_type: str, tensors: tuple[str, ...]) -> Architecture | None:
    made = _named(found, model_type)
    strange = _uncovered(made, tensors)
    if tensors and len(strange) == len(tensors):
        return None  # a model of another making under a known type
    return replace(made, notes=_strangers(made, strange))


def _named(found: Found, model_type: str, notes: tuple[str, ...] = ()) -> Architecture:
    head, *parts = found.parts
    name = f"{head}({', '.join(parts)})" if parts else head
    return architecture(name, found.plan, model_type=model_type, known=True, notes=notes)


def _uncovered(made: Architecture, tensors: tuple[str, ...]) -> list[str]:
    return [name for name in tensors if not made.read(name).covered and name.rsplit(".", 1)[-1] not in BUFFERS]


def _strangers(made: Architecture, strange: list[str]) -> tuple[str, ...]:
    if not strange:
        return ()
    shown = ", ".join(strange[:3]) + (", ..." if len(strange) > 3 else "")
    what = "kind of tensor is" if len(strange) == 1 else "kinds of tensors are"
    return (f"{len(strange)} {what} not described for `{made.name}` and merge by name and shape: {shown}",)


def _by_names(tensors: tuple[str, ...]) -> Architecture | None:
    for found in library.all_found():
        made = _named(found, "", (f"config.json names no architecture; by its tensor names it is `{found.parts[0]}`",))
        if made.stacks({}, tensors) and not _uncovered(made, tensors):
            return made
    return None
