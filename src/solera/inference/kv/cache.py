"""Caches with a budget: one to hand over as `past_key_values`, and a context in which every cache has one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, get_layer_types_and_kwargs

from solera.errors import BadParameter, CheckpointError, RunError
from solera.inference.kv.budget import SLACK, Budget
from solera.inference.kv.cards import build
from solera.inference.kv.hooking import attach, attach_for, layers_of
from solera.inference.kv.layer import KVLayer, Working

KINDS = ("full_attention", "sliding_attention")
"""Layers that can have a budget."""


class SoleraCache(DynamicCache):  # type: ignore[misc]
    """A cache of transformers whose layers hold no more than a budget; made by `solera_cache`."""

    @property
    def logical_length(self) -> int:
        """Tokens that have come, padding included."""
        return int(self.get_seq_length())

    @property
    def physical_lengths(self) -> tuple[int, ...]:
        """Slots in use, layer by layer."""
        return physical_lengths(self)

    @property
    def nbytes(self) -> int:
        """Bytes held by all layers, bookkeeping and free slots included."""
        return nbytes(self)


def physical_lengths(cache: DynamicCache) -> tuple[int, ...]:
    """Slots in use of any cache, layer by layer."""
    return tuple(0 if layer.keys is None else layer.keys.shape[2] for layer in cache.layers)


def nbytes(cache: DynamicCache) -> int:
    """Bytes that a cache truly holds; of tensors that are views, all that they keep alive."""
    total = 0
    for layer in cache.layers:
        if isinstance(layer, KVLayer):
            total += layer.nbytes
        elif layer.keys is not None:
            total += layer.keys.untyped_storage().nbytes() + layer.values.untyped_storage().nbytes()
    return total


def own_seconds(cache: DynamicCache) -> dict[str, float]:
    """Time that the room spent on a cache beside attention itself: reducing, masks, scores of prompts."""
    layers = layers_of(cache)
    return dict(next(iter(layers.values())).working.seconds) if layers else {}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the layers of a model's caches are."""

    windows: tuple[int | None, ...]
    budget: Budget
    method: str
    parameters: dict[str, Any]
    observe: int | None
    spare: tuple[int, ...]
    slack: float

    def layers(self) -> list[KVLayer]:
        working = Working(build(self.method, self.parameters), self.observe, self.slack)
        return [
            KVLayer(working, i, None if i in self.spare else self.budget, window)
            for i, window in enumerate(self.windows)
        ]


def solera_cache(
    model: PreTrainedModel,
    *,
    budget: float = 0.5,
    method: str = "kvmerger",
    observe: int | None = None,
    spare: Sequence[int] = (),
    slack: float = SLACK,
    **parameters: Any,
) -> SoleraCache:
    """A cache that holds no more than a budget, for `generate` or a forward pass of `model`.

    Layers are reduced when the attention of a prompt is done, one after another, and again before a token would go
    beyond the budget. Positions stay those of the text. Batches must be padded on the left; every row has a budget of
    its own, so that a batch gives what its rows give one by one. The cache may go on with a longer text. At budget 1.0
    it is the plain cache of transformers.

    Args:
        model: decoder-only model whose attention is `sdpa` or `eager`; it is hooked as long as the cache lives.
        budget: a share of the tokens so far, or (an int) a number of tokens; for each layer, row and head. Of layers
            with a sliding window, a share of what the window holds.
        method: see `cache_cards`.
        observe: only the last so many queries of a prompt count for scores; None: all, at the cost of the products of
            queries and keys once more.
        spare: layers that stay whole, beyond the budget; negative ones count from the end.
        slack: share of the budget that is left free when a layer is reduced; 0 reduces before every token.
        **parameters: of the method.

    Raises:
        BadParameter: the budget is no share in (0, 1] and no number of tokens; a parameter is wrong.
        UnknownName: no such method.
        CheckpointError: the model is no decoder, or has layers without a plain key-value cache.
        RunError: the model is set to a static cache.

    Example:
        >>> import torch
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        ...                      num_attention_heads=2)
        >>> model = LlamaForCausalLM(config).eval()
        >>> cache = solera_cache(model, budget=0.25, method="h2o")
        >>> _ = model(torch.arange(32)[None], past_key_values=cache)
        >>> cache.logical_length, cache.physical_lengths
        (32, (8, 8))
    """
    plan = _plan(model, budget, method, parameters, Extras(observe, spare, slack))
    cache = SoleraCache(config=model.config)
    if not plan.budget.whole:
        cache.layers = plan.layers()
        attach_for(decoder_of(model), cache)
    return cache


@dataclass(slots=True)
class Opened:
    """What was opened inside a `budgeted` context. last: the cache that was begun last, None before."""

    last: DynamicCache | None = field(default=None, repr=False)


@contextmanager
def budgeted(
    model: PreTrainedModel,
    *,
    budget: float = 0.5,
    method: str = "kvmerger",
    observe: int | None = None,
    spare: Sequence[int] = (),
    slack: float = SLACK,
    **parameters: Any,
) -> Iterator[Opened]:
    """Within this context every cache that `model.generate` begins holds no more than a budget.

    Args and errors are those of `solera_cache`; also RunError where a cache is static, or was filled before.

    Example:
        >>> import torch
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        ...                      num_attention_heads=2)
        >>> model = LlamaForCausalLM(config).eval()
        >>> with budgeted(model, budget=0.25, method="window") as opened:
        ...     _ = model.generate(torch.arange(3, 32)[None], max_new_tokens=4, do_sample=False, pad_token_id=0)
        >>> physical_lengths(opened.last)
        (8, 8)
    """
    plan = _plan(model, budget, method, parameters, Extras(observe, spare, slack))
    opened = Opened()

    def fill(cache: object) -> None:
        if not plan.budget.whole:
            _replaced(cache, plan)
        opened.last = cache  # type: ignore[assignment]

    attachment = attach(decoder_of(model))
    attachment.inside.append(fill)
    try:
        yield opened
    finally:
        attachment.inside.remove(fill)
        attachment.release()


def _replaced(cache: object, plan: _Plan) -> None:
    """Give an empty cache layers with a budget."""
    if not isinstance(cache, DynamicCache) or cache.is_compileable:
        what, fix = "A budget needs a cache that can shrink.", 'leave out cache_implementation="static"'
        raise RunError(what, got=type(cache).__name__, want="DynamicCache", fix=fix)
    if cache.get_seq_length():
        what, fix = "This cache was filled before the budget began.", "begin with the whole text and a new cache"
        raise RunError(what, got=f"{cache.get_seq_length()} tokens", fix=fix)
    cache.layers, cache.layer_class_to_replicate = plan.layers(), None


def decoder_of(model: PreTrainedModel) -> nn.Module:
    """The module whose forward pass takes the cache.

    Raises:
        CheckpointError: the model is no decoder with attention of the usual kind.
    """
    name = type(model).__name__
    if not isinstance(model, PreTrainedModel) or getattr(model.config, "is_encoder_decoder", False):
        raise CheckpointError("Only decoders have caches with a budget.", where=name, want="a causal language model")
    decoder = model.get_decoder()
    if not getattr(decoder, "_supports_attention_backend", False) or not model.can_generate():
        what = "This architecture's attention cannot be observed."
        raise CheckpointError(what, where=name, want="a causal language model that goes through AttentionInterface")
    return decoder  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Extras:
    """What most callers leave as it is: see `solera_cache`."""

    observe: int | None = None
    spare: Sequence[int] = ()
    slack: float = SLACK

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.observe is not None and not (isinstance(self.observe, int) and self.observe >= 1):
            raise BadParameter("`observe` is not usable.", got=self.observe, want="1 or more queries, or None for all")
        if isinstance(self.spare, int):
            raise BadParameter("`spare` is not usable.", got=self.spare, want="several layers", fix=f"({self.spare},)")
        if not (isinstance(self.slack, int | float) and 0 <= self.slack < 1):
            raise BadParameter("`slack` is not usable.", got=self.slack, want="a share in [0, 1)")

    def indices(self, layers: int) -> tuple[int, ...]:
        """The spared layers, counted from 0."""
        for index in self.spare:
            if not -layers <= index < layers:
                raise BadParameter("`spare` names a layer that is not there.", got=index, want=f"0 to {layers - 1}")
        return tuple(index % layers for index in self.spare)


def _plan(model: PreTrainedModel, budget: float, method: str, parameters: dict[str, Any], extras: Extras) -> _Plan:
    allowed = Budget(budget)
    build(method, parameters)
    decoder_of(model)
    if kind := getattr(model.generation_config, "cache_implementation", None):
        what = "The model is set to another kind of cache."
        fix = "model.generation_config.cache_implementation = None"
        raise RunError(what, got=f"cache_implementation={kind!r}", fix=fix)
    windows = _windows(model)
    return _Plan(windows, allowed, method, parameters, extras.observe, extras.indices(len(windows)), extras.slack)


def _windows(model: PreTrainedModel) -> tuple[int | None, ...]:
    kinds, options = get_layer_types_and_kwargs(model.config.get_text_config(decoder=True))
    other = sorted(set(kinds) - set(KINDS))
    if other:
        what = "This architecture has layers whose cache cannot have a budget."
        raise CheckpointError(what, where=type(model).__name__, got=", ".join(other), want=" and ".join(KINDS))
    return tuple(option.get("sliding_window") for option in options)
