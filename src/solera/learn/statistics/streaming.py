"""A live model whose layers come from the disk when they are run, and go: one layer in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from solera.arch import Leaf, identify
from solera.checkpoints import FileReader, open_checkpoint
from solera.checkpoints.contract import Checkpoint
from solera.errors import CheckpointError, MissingExtra, MissingTensor, PlanError
from solera.learn.statistics.loading import load_model
from solera.learn.statistics.sites import anatomy_of
from solera.types import ModelRef

Load = Callable[[ModelRef], nn.Module]
Owner = tuple[nn.Module, str]
"""A module and the name of one of its parameters or buffers."""


def load_within(memory: int) -> Load:
    """How to load a model: whole, in float32, where that needs no more than `memory` bytes; else layer by layer."""

    def load(ref: ModelRef) -> nn.Module:
        elements = sum(source.spec.numel for source in open_checkpoint(ref).table.values())
        return load_model(ref) if 4 * elements <= memory else load_streamed(ref)

    return load


def load_streamed(ref: ModelRef) -> nn.Module:
    """The model in float32 and eval mode, its layers on no device but while they run.

    What lies outside of layers (embeddings, head, last norm) stays in memory. Every forward pass reads all layers once,
    so batches should be large.

    Args:
        ref: a folder or Hub id, with adapters or without.

    Raises:
        MissingExtra: transformers is not installed. CheckpointError: no class of transformers reads it.
        PlanError: the class holds values that no file has. MissingTensor: a weight is in no file.
    """
    opened = open_checkpoint(ref)
    model = _skeleton(ref)
    _fill_buffers(model)
    files = {leaf.name: leaf for leaf in identify(opened.config, opened.table).leaves(opened.specs, opened.config)}
    layers: dict[tuple[str, int], dict[str, tuple[Leaf, ...]]] = {}
    outside: dict[str, tuple[Leaf, ...]] = {}
    for name, leaves in anatomy_of(model).leaves.items():
        if leaves[0].layer is None:
            outside[name] = leaves
        else:
            layers.setdefault((leaves[0].stack, leaves[0].layer), {})[name] = leaves
    twins = _twins(model, outside, files)
    _Shelf(model, opened, files, {name: leaves for name, leaves in outside.items() if name not in twins}).put()
    for name, source in twins.items():
        module, key = _owner(model, name)
        setattr(module, key, _owned(model, source))
    for held in layers.values():
        shelf = _Shelf(model, opened, files, held)
        module = model.get_submodule(_common(held))
        module.register_forward_pre_hook(lambda *_a, shelf=shelf: shelf.put())
        module.register_forward_hook(lambda *_a, shelf=shelf: shelf.take(), always_call=True)
    return model.eval()


def _skeleton(ref: ModelRef) -> nn.Module:
    """The model without its values."""
    try:
        import transformers
    except ImportError:
        raise MissingExtra("hf", needed_for="measuring a model") from None
    try:
        place: dict[str, Any] = {"revision": ref.revision or "main", "subfolder": ref.subfolder or ""}
        config = transformers.AutoConfig.from_pretrained(ref.path, **place)
        kind = getattr(transformers, (config.architectures or ["AutoModel"])[0])
        with torch.device("meta"):
            model: nn.Module = kind(config)
    except (OSError, ValueError, AttributeError) as error:
        got = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError("transformers cannot read this model.", where=ref, got=got) from None
    return model


def _fill_buffers(model: nn.Module) -> None:
    """Values that no file has, such as the frequencies of rotary positions: made anew, off the meta device."""
    saved = set(model.state_dict())
    for name, module in model.named_modules():
        own = dict(module.named_buffers(recurse=False))
        lacking = [b for b in own if f"{name}.{b}".lstrip(".") not in saved]
        if not any(own[buffer].is_meta for buffer in lacking):
            continue
        config = getattr(module, "config", None)
        try:
            made: Any = type(module)(config)  # type: ignore[call-arg]
        except (TypeError, AttributeError, ValueError):
            want = "modules whose values are in files, or follow from the config"
            raise PlanError("The model cannot be read layer by layer.", where=name, want=want) from None
        for buffer in lacking:
            setattr(module, buffer, getattr(made, buffer))


@dataclass(frozen=True, slots=True, eq=False)
class _Shelf:
    """Some parameters and buffers of a model, by name, and the leaves that they hold."""

    model: nn.Module
    opened: Checkpoint
    files: Mapping[str, Leaf]
    held: Mapping[str, tuple[Leaf, ...]]

    def put(self) -> None:
        """Read the values."""
        with FileReader() as reader:
            for name, leaves in self.held.items():
                now = _owned(self.model, name)
                whole = torch.empty(now.shape, dtype=now.dtype, device="cpu")
                for leaf in leaves:
                    whole.view(-1)[leaf.start : leaf.start + prod(leaf.shape)] = self._values(leaf, name, reader)
                self._set(name, whole)

    def take(self) -> None:
        """Let go of the values."""
        for name in self.held:
            self._set(name, _owned(self.model, name).to("meta"))

    def _values(self, leaf: Leaf, name: str, reader: FileReader) -> Tensor:
        found = self.files.get(leaf.name)
        if found is None or prod(found.shape) != prod(leaf.shape):
            raise MissingTensor("A weight of the model is in no file.", where=name, got=self.opened.ref, want=leaf.name)
        return self.opened.table[found.tensor].read(reader, found.start, found.start + prod(found.shape))

    def _set(self, name: str, value: Tensor) -> None:
        module, key = _owner(self.model, name)
        weight = isinstance(getattr(module, key), nn.Parameter)
        setattr(module, key, nn.Parameter(value, requires_grad=False) if weight else value)


def _owner(model: nn.Module, name: str) -> Owner:
    place, _, key = name.rpartition(".")
    return model.get_submodule(place), key


def _owned(model: nn.Module, name: str) -> Tensor:
    module, key = _owner(model, name)
    found: Tensor = getattr(module, key)
    return found


def _twins(model: nn.Module, held: Mapping[str, tuple[Leaf, ...]], files: Mapping[str, Leaf]) -> dict[str, str]:
    """Tied weights that are in no file -> the one that is."""
    read = {id(_owned(model, name)): name for name, leaves in held.items() if leaves[0].name in files}
    lacking = [name for name, leaves in held.items() if leaves[0].name not in files]
    return {name: read[id(_owned(model, name))] for name in lacking if id(_owned(model, name)) in read}


def _common(names: Iterable[str]) -> str:
    """The module that all names lie in.

    Example:
        >>> _common(["model.layers.3.mlp.gate.weight", "model.layers.3.norm.weight"])
        'model.layers.3'
    """
    columns = zip(*(name.split(".")[:-1] for name in names), strict=False)
    return ".".join(column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns))
