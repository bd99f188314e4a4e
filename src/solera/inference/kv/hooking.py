"""How the room gets to see queries: an attention function of its own, used while one of our caches is in the model.

`AttentionInterface` calls a function with queries and keys after the rotation. Two are registered, `solera_sdpa` and
`solera_eager`, each around the one that it is named after. Hooks on the decoder name it in the config when the pass
begins and take it back when it ends: outside a pass, and with any other cache, a model is as it was.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from inspect import signature
from typing import Any
from weakref import WeakKeyDictionary, finalize

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from solera.errors import CheckpointError, RunError
from solera.inference.kv.attending import attended, logit_mask
from solera.inference.kv.contract import EMPTY
from solera.inference.kv.layer import Arrival, KVLayer

INNER = ("sdpa", "eager")
"""The attention functions that ours goes around."""

_LAYERS: ContextVar[dict[int, KVLayer] | None] = ContextVar("layers of the cache in the running pass", default=None)
_REDUCED: ContextVar[bool] = ContextVar("whether that cache had dropped anything before the pass", default=False)


def register() -> None:
    """Make our attention functions known to transformers; once is enough."""
    for name in INNER:
        if f"solera_{name}" not in ALL_ATTENTION_FUNCTIONS:
            ALL_ATTENTION_FUNCTIONS.register(f"solera_{name}", _around(name))
            ALL_MASK_ATTENTION_FUNCTIONS.register(f"solera_{name}", ALL_MASK_ATTENTION_FUNCTIONS[name])


def _around(name: str) -> Callable[..., tuple[Tensor, Tensor | None]]:
    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, Tensor | None]:
        inner = (
            ALL_ATTENTION_FUNCTIONS[name]
            if name != "eager"
            else sys.modules[type(module).__module__].eager_attention_forward
        )
        layer = (_LAYERS.get() or {}).get(getattr(module, "layer_idx", -1))
        if layer is None or not layer.pending:
            found: tuple[Tensor, Tensor | None] = inner(module, query, key, value, attention_mask, **options)
            return found
        arrival = layer.working.arrival
        assert arrival is not None, "a layer is pending in a pass alone"
        mask = attention_mask
        if _REDUCED.get() or not layer.whole:
            with layer.working.clock("mask"):
                mask = logit_mask(layer, arrival, query, additive=name == "eager")
        scaling = options.get("scaling") or query.shape[-1] ** -0.5
        plain = name == "sdpa" and all(options.get(extra) is None for extra in ("softcap", "position_bias", "s_aux"))
        return attended(
            layer, arrival, (query, key, value), mask,
            lambda mask: inner(module, query, key, value, mask, **options), scaling, fused=plain,
        )  # fmt: skip

    return attention


def layers_of(cache: object) -> dict[int, KVLayer]:
    """Our layers in a cache, by index."""
    layers = cache.layers if isinstance(cache, Cache) else []
    return {i: layer for i, layer in enumerate(layers) if isinstance(layer, KVLayer)}


class Attachment:
    """Hooks on one decoder, as long as anybody needs them.

    `inside`: what fills the empty caches that a forward pass brings along; the last one counts.
    """

    def __init__(self, decoder: nn.Module) -> None:
        self.users, self.inside = 0, list[Callable[[object], None]]()
        self.undo: list[Callable[[], None]] = []
        self.configs = list(
            {id(c): c for m in decoder.modules() if (c := getattr(m, "config", None)) is not None}.values()
        )
        self.hooks = (
            decoder.register_forward_pre_hook(self._before, with_kwargs=True),
            decoder.register_forward_hook(self._after, always_call=True),
        )

    def release(self) -> None:
        """One user less; the last one takes the hooks off."""
        self.users -= 1
        if not self.users:
            for decoder in [d for d, attachment in _ATTACHED.items() if attachment is self]:
                del _ATTACHED[decoder]
            for hook in self.hooks:
                hook.remove()

    def _before(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.undo.append(lambda: None)
        given = _by_name(decoder, args, kwargs)
        cache = given.get("past_key_values")
        if self.inside and cache is not None and not layers_of(cache):
            self.inside[-1](cache)
        layers = layers_of(cache)
        if layers:
            self.undo[-1] = self._switched(decoder, layers)
            _begin(layers, given)

    def _switched(self, decoder: nn.Module, layers: dict[int, KVLayer]) -> Callable[[], None]:
        """Name our attention function in the config; gives what takes it back."""
        before = [c._attn_implementation_internal for c in self.configs]  # noqa: SLF001 - its setter reaches further
        name = str(getattr(decoder.config, "_attn_implementation", None) or "eager")
        if name.removeprefix("solera_") not in INNER:
            what = "Attention of this kind gives no scores."
            raise RunError(what, got=name, want=" or ".join(INNER), fix='model.set_attn_implementation("sdpa")')
        for config in self.configs:
            config._attn_implementation_internal = f"solera_{name.removeprefix('solera_')}"  # noqa: SLF001
        tokens = _LAYERS.set(layers), _REDUCED.set(any(not layer.whole for layer in layers.values()))

        def undo() -> None:
            for config, was in zip(self.configs, before, strict=True):
                config._attn_implementation_internal = was  # noqa: SLF001
            _LAYERS.reset(tokens[0])
            _REDUCED.reset(tokens[1])
            _end(layers, decoder)

        return undo

    def _after(self, _decoder: nn.Module, _args: tuple[Any, ...], _output: object) -> None:
        self.undo.pop()()


_ATTACHED: WeakKeyDictionary[Any, Attachment] = WeakKeyDictionary()


def attach(decoder: nn.Module) -> Attachment:
    """Hook a decoder, or count one more user of the hooks that it has."""
    register()
    if decoder not in _ATTACHED:
        _ATTACHED[decoder] = Attachment(decoder)
    _ATTACHED[decoder].users += 1
    return _ATTACHED[decoder]


def attach_for(decoder: nn.Module, owner: object) -> None:
    """Hook a decoder for as long as `owner` lives."""
    finalize(owner, attach(decoder).release)


def _by_name(decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a forward pass by name, however they were handed over."""
    return {**dict(zip(signature(decoder.forward).parameters, args, strict=False)), **kwargs} if args else kwargs


def _begin(layers: dict[int, KVLayer], given: dict[str, Any]) -> None:
    """Say to the layers which tokens come."""
    tensor = next(t for t in (given.get("input_ids"), given.get("inputs_embeds")) if isinstance(t, Tensor))
    layer = next(iter(layers.values()))
    seen = torch.tensor(layer.seen or [0] * tensor.shape[0], device=tensor.device)
    arrival = _arrival(given.get("attention_mask"), tensor.shape[1], seen)
    for each in layers.values():
        each.working.arrival = arrival


def _arrival(mask: object, tokens: int, seen: Tensor) -> Arrival:
    if mask is not None and not (isinstance(mask, Tensor) and mask.dim() == 2):
        got = f"{mask.dim()} dimensions" if isinstance(mask, Tensor) else type(mask).__name__
        raise RunError(
            "A cache with a budget makes its own masks.", got=got, want="attention_mask (rows, tokens) or none"
        )
    real = None if mask is None else mask[:, -tokens:].bool()
    if real is None or bool(real.all()):
        places = seen[:, None] + torch.arange(tokens, device=seen.device)
        return Arrival(places.int(), (tokens,) * len(seen), holes=False)
    begun = real.any(-1) | (seen > 0)  # of a prompt in parts, the first may be all padding
    if bool((begun & ~real[:, -1]).any()):
        what = "The batch is padded on the right."
        raise RunError(
            what, got="attention_mask ends in 0", want="padding on the left", fix='tokenizer.padding_side = "left"'
        )
    places = torch.where(real, seen[:, None] + real.cumsum(-1) - 1, EMPTY)
    return Arrival(places.int(), tuple(real.sum(-1).tolist()), holes=True)


def _end(layers: dict[int, KVLayer], decoder: nn.Module) -> None:
    for layer in layers.values():
        layer.working.arrival = None
    if any(layer.pending for layer in layers.values()) and sys.exc_info()[0] is None:
        what = "This model's attention does not go through transformers' AttentionInterface."
        raise CheckpointError(what, where=type(decoder).__name__)
