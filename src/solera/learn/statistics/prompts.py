"""What a base makes of an expert's prompts: rows for the routers of a mixture that is made out of dense models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from solera.arch import identify
from solera.checkpoints import FileReader, open_checkpoint
from solera.errors import BadParameter, CheckpointError, MissingExtra, PlanError
from solera.learn.statistics.loading import load_model
from solera.learn.statistics.sites import anatomy_of
from solera.methods.moe.gates import drawn, embedded, from_states
from solera.methods.moe.upcycle import PROMPTED, Gate
from solera.types import ModelRef

Load = Callable[[ModelRef], nn.Module]
Ids = Sequence[Sequence[int]]
"""Token ids of prompts."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """What an expert is for, and what it is not for."""

    positive: tuple[str, ...]
    negative: tuple[str, ...] = ()


def router_rows(
    base: ModelRef, experts: Sequence[Prompts], gate: Gate, *, seed: int = 0, load: Load = load_model
) -> Tensor:
    """Rows of the routers of all layers, (layers, experts, width), float32.

    Args:
        base: gives hidden states and embeddings.
        experts: prompts of each; only their number counts for random gates.
        gate: see `methods.moe.upcycle`.
        seed: of random gates.
        load: makes the live base, for gates that run it.

    Cost: a forward pass of the base for every prompt, alone, so that nothing is padded.

    Raises:
        BadParameter: an expert has no prompts. MissingExtra: transformers is not installed.
        CheckpointError: the base has no tokenizer.
    """
    opened = open_checkpoint(base)
    layers, width = int(opened.config.get("num_hidden_layers", 0)), int(opened.config.get("hidden_size", 0))
    if gate not in PROMPTED:
        return drawn((layers, len(experts), width), seed, uniform=gate == "uniform_random")
    for number, one in enumerate(experts, 1):
        if not one.positive:
            fix = "give --prompts, or --gate random for a model that will be trained"
            raise BadParameter("An expert has no prompts.", got=f"expert {number}", want=f"prompts for {gate}", fix=fix)
    tokenizer = _tokenizer(base)
    tokens = [(_ids(base, tokenizer, one.positive), _ids(base, tokenizer, one.negative)) for one in experts]
    states = _embeddings(base, layers) if gate == "cheap_embed" else _states(load(base), gate)
    positive = torch.stack([states(ids) for ids, _ in tokens], dim=1)
    zero = torch.zeros(len(positive), positive.shape[-1])
    negative = torch.stack([states(ids) if ids else zero for _, ids in tokens], dim=1)
    return from_states(positive, negative)


def _tokenizer(base: ModelRef) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtra("hf", needed_for="prompts") from None
    place: dict[str, Any] = {"revision": base.revision or "main", "subfolder": base.subfolder or ""}
    try:
        return AutoTokenizer.from_pretrained(base.path, **place)
    except (OSError, ValueError, KeyError) as error:
        got = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError("The base's tokenizer cannot be read.", where=base, got=got) from None


def _ids(base: ModelRef, tokenizer: Any, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids of every prompt, begun as a text begins."""
    begin = tokenizer.bos_token or ""
    found = [list(tokenizer(begin + text, add_special_tokens=False).input_ids) for text in prompts]
    if not all(found):
        raise BadParameter("A prompt is empty.", where=base, want="text that the tokenizer reads")
    return found


def _embeddings(base: ModelRef, layers: int) -> Callable[[Ids], Tensor]:
    """Sum of embeddings, the same for all layers; the embedding alone is read."""
    opened = open_checkpoint(base)
    leaves = identify(opened.config, opened.table).leaves(opened.specs, opened.config)
    leaf = next((one for one in leaves if one.role == "embedding" and one.vocab_axis == 0), None)
    if leaf is None:
        raise PlanError("The base has no embedding of tokens.", where=base)
    source = opened.table[leaf.tensor]
    with FileReader() as reader:
        table = source.read(reader, 0, source.spec.numel).reshape(leaf.shape)
    return lambda ids: embedded(table, ids).expand(layers, -1)


def _states(model: nn.Module, gate: Gate) -> Callable[[Ids], Tensor]:
    """Mean over prompts of what stands at a layer, (layers, width)."""

    def states(prompts: Ids) -> Tensor:
        found = [_of_prompt(model, torch.tensor([list(ids)]), gate) for ids in prompts]
        return torch.stack(found).double().mean(0)

    return states


def _of_prompt(model: nn.Module, ids: Tensor, gate: Gate) -> Tensor:
    with torch.no_grad(), _watched(model, wanted=gate == "mlp_input") as seen:
        out = model(input_ids=ids, output_hidden_states=True, use_cache=False)
    entering: Sequence[Tensor] = [seen[k] for k in sorted(seen)] if gate == "mlp_input" else out.hidden_states[:-1]
    rows = torch.stack([state[0].double() for state in entering])
    return rows[:, -1] if gate == "hidden" else rows.mean(1)


@contextmanager
def _watched(model: nn.Module, *, wanted: bool) -> Iterator[dict[int, Tensor]]:
    """What enters every layer's MLP."""
    seen: dict[int, Tensor] = {}
    with ExitStack() as hooks:
        for name, leaves in anatomy_of(model).leaves.items() if wanted else ():
            if leaves[0].role == "mlp.gate" and leaves[0].layer is not None:
                module = model.get_submodule(name.rpartition(".")[0])
                hook = module.register_forward_pre_hook(
                    lambda _m, args, layer=leaves[0].layer: seen.update({layer: args[0].detach()})
                )
                hooks.callback(hook.remove)
        yield seen
