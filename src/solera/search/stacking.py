"""A module that runs a path of layers: the frame of one model, layers of several, no weight copied."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from solera.app.live import merge_live
from solera.app.swapping import load_into
from solera.errors import PlanError
from solera.recipe.values import Merge, Operand, Recipe
from solera.search.contract import Ground
from solera.types import ModelRef

if TYPE_CHECKING:
    from solera.search.layers import Hop

LISTS = ("layer_types",)
"""Lists of a config with one entry for each layer."""


@dataclass(eq=False)
class Frame:
    """A copy of the ground's module whose list of layers is changed, and the layers of all models."""

    module: Any
    holder: Any
    name: str
    layers: tuple[Sequence[Any], ...]
    lists: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def run(self, path: Sequence[Hop]) -> Any:
        """The module with the layers of a path."""
        from torch import nn

        chosen = [_twin(self.layers[hop.model][hop.layer], place, hop.scale) for place, hop in enumerate(path)]
        setattr(self.holder, self.name, nn.ModuleList(chosen))
        config = self.module.config
        config.num_hidden_layers = len(path)
        for name, values in self.lists.items():
            setattr(config, name, [values[hop.layer] for hop in path])
        return self.module


_FRAMES: WeakKeyDictionary[Any, tuple[tuple[ModelRef, ...], Frame]] = WeakKeyDictionary()


def stacked(ground: Ground, models: Sequence[ModelRef], path: Sequence[Hop], threads: int = 1) -> Any:
    """The module of a path. Models are loaded once; the module of an earlier path changes.

    Raises:
        PlanError: the module keeps its layers in no list that is known.
    """
    key = tuple(models)
    known = _FRAMES.get(ground.module)
    if known is None or known[0] != key:
        known = _FRAMES[ground.module] = (key, _frame(ground, models, threads))
    return known[1].run(path)


def _frame(ground: Ground, models: Sequence[ModelRef], threads: int) -> Frame:
    made = [_loaded(ground, model, threads) for model in models]
    holder, name = _home(made[0])
    layers = tuple(list(getattr(*_home(module))) for module in made)
    lists = {key: list(found) for key in LISTS if (found := getattr(made[0].config, key, None)) is not None}
    return Frame(made[0], holder, name, layers, lists)


def _loaded(ground: Ground, model: ModelRef, threads: int) -> Any:
    module = copy.deepcopy(ground.module)
    load_into(module, merge_live(Recipe(Merge("linear", (Operand(model),))), threads=threads).tensors)
    return module


def _home(module: Any) -> tuple[Any, str]:
    """Where a module keeps its layers: the holder, and the name in it."""
    from torch import nn

    count = getattr(getattr(module, "config", None), "num_hidden_layers", None)
    for holder in module.modules():
        for name, child in holder.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return holder, name
    raise PlanError("The module has no list of layers.", where=type(module).__name__, want="one entry for each layer")


def _twin(layer: Any, place: int, scale: float) -> Any:
    """A layer with the same weights at another place, which multiplies what enters it."""
    twin = _placed(layer, place)
    twin._forward_pre_hooks = OrderedDict()  # noqa: SLF001 - the copy shares its dictionaries with the layer
    twin._forward_pre_hooks_with_kwargs = OrderedDict()  # noqa: SLF001
    if scale != 1.0:
        twin.register_forward_pre_hook(_scaling(scale), with_kwargs=True)
    return twin


def _placed(module: Any, place: int) -> Any:
    """A shallow copy; those inside that know their place (caches go by it) are copied and told the new one."""
    twin = copy.copy(module)
    twin._modules = {  # noqa: SLF001 - see above
        name: _placed(child, place) if any(hasattr(m, "layer_idx") for m in child.modules()) else child
        for name, child in module._modules.items()  # noqa: SLF001
        if child is not None
    }
    if hasattr(twin, "layer_idx"):
        twin.layer_idx = place
    return twin


def _scaling(scale: float) -> Any:
    def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (args[0] * scale, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": kwargs["hidden_states"] * scale}

    return hook


def fitted(module: Any, layers: int) -> Any:
    """A new module like another, with another number of layers; its weights are random.

    Example:
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> sizes = dict(hidden_size=8, intermediate_size=8, num_attention_heads=2, vocab_size=8)
        >>> fitted(LlamaForCausalLM(LlamaConfig(num_hidden_layers=2, **sizes)), 3).config.num_hidden_layers
        3
    """
    config = copy.deepcopy(module.config)
    config.num_hidden_layers = layers
    for name in LISTS:
        found = getattr(config, name, None)
        if found is not None:
            setattr(config, name, [found[min(k, len(found) - 1)] for k in range(layers)])
    return type(module)(config).eval()
