"""Speed of caches with a budget: a random Llama that writes behind a long context."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from solera.bench.kv_rows import BUDGETS, FULL, METHODS, SpeedRow, checked, pairs, read_method
from solera.errors import BadParameter
from solera.types import Event

if TYPE_CHECKING:
    from torch import Tensor
    from transformers.cache_utils import DynamicCache


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama of random weights: layers and width; 64 channels in a head, every head with keys of its own."""

    layers: int
    width: int
    vocabulary: int = 8192

    @classmethod
    def read(cls, text: str) -> Shape:
        """Read ``12x768``.

        Raises:
            BadParameter: it is no such text.

        Example:
            >>> Shape.read("12x768").width
            768
        """
        layers, _, width = text.partition("x")
        if not (layers.isdigit() and width.isdigit() and int(layers) and int(width) and int(width) % 64 == 0):
            raise BadParameter(
                "This is no shape.", got=text, want="layers x width, the width a multiple of 64", fix="12x768"
            )
        return cls(int(layers), int(width))

    def model(self, context: int) -> Any:
        """The model, seeded."""
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=self.vocabulary, hidden_size=self.width, intermediate_size=8 * self.width // 3,
            num_hidden_layers=self.layers, num_attention_heads=self.width // 64, max_position_embeddings=2 * context,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return LlamaForCausalLM(config).eval()


@dataclass(frozen=True, slots=True)
class Timed:
    """What is timed. tokens: written for each row. observe: see `solera_cache`."""

    context: int = 4096
    tokens: int = 128
    methods: Sequence[str] = METHODS
    budgets: Sequence[float] = BUDGETS
    observe: int | None = None


def measure_speed(shape: Shape, what: Timed, on_event: Callable[[Event], None] | None = None) -> list[SpeedRow]:
    """Write tokens behind one context, with each method at each budget; one row of a batch, float32.

    The prompt is run once. Every cache is then filled with its keys and values, layer by layer, as the model itself
    would have done; the scores of the prompt's queries are timed apart.

    Raises:
        UnknownName: no such method. BadParameter: a budget is none.
    """
    import torch

    checked(what.methods, what.budgets)
    tell = on_event or (lambda _event: None)
    model = shape.model(what.context)
    settings = pairs(what.methods, what.budgets)
    ids = torch.randint(0, shape.vocabulary, (1, what.context), generator=torch.Generator().manual_seed(1))
    tell(Event("started", "prompt", message=f"{what.context} tokens through {shape.layers} layers"))
    with torch.inference_mode():
        prompt = _prompt(model, ids, what)
        rows = []
        for method, budget in settings:
            rows.append(_row(model, prompt, what, method, budget))
            tell(Event("progress", "writing", done=len(rows), total=len(settings)))
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class _Prompt:
    """Keys, values and scores of each layer, and what the scores took."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    scores: tuple[Tensor, ...]
    score_s: float


def _prompt(model: Any, ids: Tensor, what: Timed) -> _Prompt:
    """Run the prompt through a cache that is observed and spared nothing."""
    from solera.inference.kv import own_seconds, solera_cache

    cache = solera_cache(model, budget=ids.shape[1], method="h2o", observe=what.observe)
    model(ids, past_key_values=cache, logits_to_keep=1)
    entries = [layer.shelf.entries for layer in cache.layers]
    scores = tuple(each.scores.clone() for each in entries)
    keys, values = tuple(each.keys for each in entries), tuple(each.values for each in entries)
    return _Prompt(keys, values, scores, own_seconds(cache)["score"])


def _row(model: Any, prompt: _Prompt, what: Timed, method: str, budget: float) -> SpeedRow:
    """A cache that is filled to its budget: its first token reduces every layer once."""
    from solera.inference.kv import nbytes, own_seconds, physical_lengths

    cache = _plain(model, prompt) if method == FULL else _filled(model, prompt, method, budget)
    before = own_seconds(cache)
    taken = _write(model, cache, what.tokens)
    own = sum(own_seconds(cache).values()) - sum(before.values())
    slots = max(physical_lengths(cache))
    held = nbytes(cache)
    plain = taken if method == FULL else _write(model, _plain(model, prompt, slots), what.tokens)
    prompt_s = before.get("reduce", 0.0) + (prompt.score_s if method not in (FULL, "window") else 0.0)
    speeds = [round(what.tokens / seconds, 3) for seconds in (taken, plain)]
    return SpeedRow(method, budget, speeds[0], round(own / taken, 5), held, slots, round(prompt_s, 3), speeds[1])


def _write(model: Any, cache: DynamicCache, tokens: int) -> float:
    """CPU seconds for so many tokens, one after another: others on this machine do not count."""
    import torch

    ids = torch.ones(1, 1, dtype=torch.long)
    began = time.process_time()
    for _ in range(tokens):
        model(ids, past_key_values=cache)
    return time.process_time() - began


def _filled(model: Any, prompt: _Prompt, method: str, budget: float) -> DynamicCache:
    """A cache as the prompt would have left it, had no slot been left free."""
    import torch

    from solera.inference.kv import solera_cache
    from solera.inference.kv.layer import Arrival

    name, parameters = read_method(method)
    cache = solera_cache(model, budget=budget, method=name, **parameters)
    working, length = cache.layers[0].working, prompt.keys[0].shape[2]
    working.arrival = Arrival(torch.arange(length)[None].int(), (length,), holes=False)
    usual, working.slack, working.timer = working.slack, 0.0, time.process_time
    for layer, keys, values, scores in zip(cache.layers, prompt.keys, prompt.values, prompt.scores, strict=True):
        layer.update(keys, values)
        layer.note(scores if working.method.scores else None)
        layer.settle()
    working.arrival, working.slack = None, usual
    return cache


def _plain(model: Any, prompt: _Prompt, slots: int | None = None) -> DynamicCache:
    """A plain cache with all of the prompt, or with its last entries."""
    from transformers.cache_utils import DynamicCache as Plain

    cache = Plain(config=model.config)
    first = 0 if slots is None else prompt.keys[0].shape[2] - slots
    for index, (keys, values) in enumerate(zip(prompt.keys, prompt.values, strict=True)):
        cache.update(keys[:, :, first:], values[:, :, first:], index)
    return cache
