"""Token merging on a live vision model, as a context manager.

Source: "Token Merging: Your ViT But Faster" (arXiv:2210.09461). In every block, between attention and MLP, the most
similar tokens are merged; attention counts a merged token as often as it stands for a patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from solera.errors import BadParameter, PlanError
from solera.inference.tokens.blocks import Block, blocks_of
from solera.inference.tokens.matching import Matching, bipartite_soft_matching, largest_r, merge_tokens
from solera.inference.tokens.schedule import Reduction, reductions, token_counts

_MASKABLE = ("eager", "sdpa")
"""Ways of attention that take what is added to the logits of keys."""


@dataclass(eq=False)
class TokenMerging:
    """What happened in the latest forward pass.

    Attributes:
        each: tokens that each layer is to merge away. special: tokens in front that never merge.
        tokens: at first, special ones among them. matchings: of the layers that merged, in order.
        metric: what tokens were last compared by. sizes: (batch, tokens left), patches of each; None: nothing merged.
    """

    each: tuple[int, ...]
    special: int
    tokens: int = 0
    matchings: list[Matching] = field(default_factory=list, repr=False)
    sizes: Tensor | None = field(default=None, repr=False)
    metric: Tensor | None = field(default=None, repr=False)

    @property
    def counts(self) -> tuple[int, ...]:
        """Tokens that entered each layer's MLP."""
        return token_counts(self.tokens, self.each, self.special)

    def groups(self) -> Tensor:
        """For every token at first, the place of the one that it was merged into at the end.

        Shape: (batch, tokens at first)

        Raises:
            BadParameter: nothing was merged yet.
        """
        if self.sizes is None:
            raise BadParameter("No tokens were merged yet.", fix="run the model inside the block")
        batch, left = self.sizes.shape
        return self.unmerged(torch.arange(left, device=self.sizes.device).expand(batch, left)[..., None])[..., 0]

    def unmerged(self, x: Tensor) -> Tensor:
        """Copy what the last layer gave back to every token at first, for dense tasks.

        Shape: (batch, tokens left, channels) -> (batch, tokens at first, channels)
        """
        for matching in reversed(self.matchings):
            x = matching.copied_back(x)
        return x


@contextmanager
def merged_tokens(model: nn.Module, r: Reduction = 8, *, proportional: bool = True) -> Iterator[TokenMerging]:
    """Merge similar tokens in every block of a vision model, inside; outside it is what it was.

    Args:
        model: a ViT, DeiT or CLIP vision model of transformers.
        r: tokens that each layer merges away; (r, inflection) for a falling (-1.0) or rising (1.0) schedule; or one
            number for each layer. A layer that has too few tokens left merges half of them. 0 is the plain model.
        proportional: attention counts a merged token as often as it stands for a patch. Off for models trained by
            masked image modelling (MAE).

    Yields:
        What was merged in the latest forward pass.

    Raises:
        PlanError: the model's blocks are of no known kind, or its attention takes no mask.
        BadParameter: `r` is negative, more than the first layer that merges can give, or no schedule; the model is
            being merged already.

    Cost: for each layer tokens^2 / 4 products of the head's size; the layers that follow have fewer tokens.

    Differs:
        The metric is the mean of keys over heads as in the official code. Everything is written for the blocks of
        transformers; `last_hidden_state` has fewer tokens (see `TokenMerging.unmerged`).

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> config = ViTConfig(image_size=32, patch_size=4, hidden_size=16, num_hidden_layers=3, num_attention_heads=2)
        >>> model = ViTForImageClassification(config).eval()
        >>> with merged_tokens(model, r=8) as merging:
        ...     found = model(torch.zeros(1, 3, 32, 32)).logits.shape
        >>> merging.counts, merging.sizes.sum().item()
        ((57, 49, 41), 65.0)
    """
    blocks = blocks_of(model)
    _check(blocks, proportional=proportional)
    state = TokenMerging(reductions(r, len(blocks)), blocks[0].parts.special)
    with ExitStack() as undo:
        for place, block in enumerate(blocks):
            hook = block.key_projection.register_forward_hook(_remember(state, block.head_size))
            undo.callback(hook.remove)
            undo.callback(block.module.__dict__.pop, "forward", None)
            block.module.forward = _forward(block, place, state, proportional=proportional)
        yield state


def _check(blocks: tuple[Block, ...], *, proportional: bool) -> None:
    if any("forward" in block.module.__dict__ for block in blocks):
        raise BadParameter("The model's blocks are wrapped already.", fix="leave the other `with` block first")
    way = blocks[0].part("attention").config._attn_implementation  # noqa: SLF001 - there is no other door
    if proportional and way not in _MASKABLE:
        fix = 'load the model with attn_implementation="sdpa", or pass proportional=False'
        raise PlanError("Proportional attention needs a mask.", got=way, want=" or ".join(_MASKABLE), fix=fix)


def _remember(state: TokenMerging, head: int) -> Any:
    """A hook that keeps the mean of the keys over heads."""

    def hook(_module: nn.Module, _args: Any, keys: Tensor) -> None:
        state.metric = keys.detach().view(*keys.shape[:2], -1, head).mean(2)

    return hook


def _forward(block: Block, place: int, state: TokenMerging, *, proportional: bool) -> Any:
    """The block's forward with merging between its halves; without merging the same operations as its own."""

    def half(norm: str, module: str, x: Tensor, *more: Any, **named: Any) -> Tensor:
        found = block.part(module)(block.part(norm)(x), *more, **named)
        made: Tensor = found[0] if isinstance(found, tuple) else found
        return x + (block.part("dropout")(made) if block.parts.dropout else made)

    def forward(hidden_states: Tensor, attention_mask: Tensor | None = None, **named: Any) -> Tensor:
        if place == 0:
            state.tokens, state.matchings, state.sizes = hidden_states.shape[1], [], None
        mask = _mask(attention_mask, state.sizes if proportional else None, hidden_states.dtype)
        x = half("first_norm", "attention", hidden_states, attention_mask=mask, **named)
        return half("second_norm", "mlp", _merged(state, place, x))

    return forward


def _mask(given: Tensor | None, sizes: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """What is added to the logits of keys: the logarithm of what each stands for. (batch, 1, 1, tokens)."""
    if given is not None and not bool((given.bool() if given.dtype == torch.bool else given == 0).all()):
        raise BadParameter("Tokens that are masked cannot be merged.", want="images without a mask")
    return None if sizes is None else sizes.log().to(dtype)[:, None, None, :]


def _merged(state: TokenMerging, place: int, x: Tensor) -> Tensor:
    """Merge what the schedule says, or half of what is left."""
    asked, most = state.each[place], largest_r(x.shape[1], state.special)
    if asked > most and not state.matchings:
        got = f"{asked} of {x.shape[1]} tokens, {state.special} of them special"
        raise BadParameter(
            "`r` is more than the layer can merge.", where=f"layer {place}", got=got, want=f"0 to {most}"
        )
    if min(asked, most) == 0:
        return x
    assert state.metric is not None  # the block's attention has just run
    matching = bipartite_soft_matching(state.metric, min(asked, most), protected=state.special)
    state.matchings.append(matching)
    x, state.sizes = merge_tokens(matching, x, state.sizes)
    return x
