"""Where the tensors of files lie in a live module, and how other values are put there.

Files and modules may name tensors differently, and a module may hold several in one parameter: a tensor's place is a
view of a parameter. Places stay true when the module moves to another device or type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from solera.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Place:
    """A view of a parameter (or buffer): the whole of it, or a strided part."""

    parameter: str
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    whole: bool


def places_of(module: nn.Module) -> dict[str, Place]:
    """Tensor -> place, under all names that the module knows: its own, and those of saved files.

    Cost: for parameters that files hold in parts (fused experts), eight bytes per element, one parameter at a time.
    """
    state = {name: value.detach() for name, value in module.state_dict(keep_vars=True).items()}
    owners = {value.untyped_storage().data_ptr(): name for name, value in reversed(state.items()) if value.numel()}
    found = {name: _place(name, value, value) for name, value in state.items()}
    seen = set()
    for name, value in _saved(module, dict(state)).items():
        owner = owners.get(value.untyped_storage().data_ptr())
        if owner is not None:
            seen.add(owner)
            found[name] = _place(owner, state[owner], value)
    for owner in dict.fromkeys(owners.values()):
        if owner not in seen:
            found |= _parts(module, owner, state[owner])
    return found


def _saved(module: nn.Module, state: dict[str, Tensor]) -> Mapping[str, Tensor]:
    if not hasattr(module, "save_pretrained"):
        return {}
    from transformers.core_model_loading import revert_weight_conversion

    found: Mapping[str, Tensor] = revert_weight_conversion(module, state)
    return found


def _parts(module: nn.Module, owner: str, value: Tensor) -> dict[str, Place]:
    """Where the parts of a parameter go when it is saved: found by saving addresses in its stead."""
    addresses = torch.arange(value.numel(), dtype=torch.float64).reshape(value.shape)
    found = {}
    for name, part in _saved(module, {owner: addresses}).items():
        first = part[(0,) * part.dim()]
        ends = [part.select(k, min(1, size - 1))[(0,) * (part.dim() - 1)] for k, size in enumerate(part.shape)]
        place = Place(owner, tuple(part.shape), tuple(int(end - first) for end in ends), int(first), whole=False)
        if torch.equal(_view(addresses, place), part):
            found[name] = place
    return found


def _place(owner: str, whole: Tensor, part: Tensor) -> Place:
    same = part.shape == whole.shape and part.stride() == whole.stride()
    return Place(owner, tuple(part.shape), part.stride(), int(part.storage_offset() - whole.storage_offset()), same)


def _view(target: Tensor, place: Place) -> Tensor:
    if place.whole:
        return target
    return target.as_strided(place.size, place.stride, target.storage_offset() + place.offset)


def placed(module: nn.Module, places: Mapping[str, Place], name: str) -> Place:
    """The place of a tensor.

    Raises:
        CheckpointError: it has none, or is no view.
    """
    if name not in places:
        what = "This architecture is not supported: a tensor of its files is no part of the live module."
        want = "tensors that are views of parameters"
        raise CheckpointError(what, where=type(module).__name__, got=name[:200], want=want, fix=_FIX)
    return places[name]


_FIX = "save base and experts in the module's own layout: save_pretrained(..., save_original_format=False)"


def put(module: nn.Module, place: Place, value: Tensor) -> None:
    """Write a tensor into its place, rounded once to the type there."""
    _view(_parameter(module, place.parameter).data, place).copy_(value)


def shape_at(module: nn.Module, place: Place) -> tuple[int, ...]:
    """Shape of what lies at a place now."""
    return tuple(_parameter(module, place.parameter).shape) if place.whole else place.size


def swap(module: nn.Module, place: Place, value: Tensor) -> None:
    """Put a tensor of another shape in a parameter's stead."""
    kept = _parameter(module, place.parameter)
    kept.data = value.to(device=kept.device, dtype=kept.dtype, copy=True)


def _parameter(module: nn.Module, name: str) -> Tensor:
    owner, _, leaf = name.rpartition(".")
    found: Tensor = getattr(module.get_submodule(owner), leaf)
    return found
