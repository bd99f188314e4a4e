"""Which tokens are merged into which: bipartite soft matching, and what is done with its answer.

Source: "Token Merging: Your ViT But Faster" (arXiv:2210.09461), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from solera.errors import BadParameter


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """A matching of the even tokens (sources) with the odd ones (destinations), for every example of a batch.

    Attributes:
        kept: (batch, sources - r) sources that stay, in their order. merged: (batch, r) those that are merged.
        into: (batch, r) destination of each merged one. tokens: before merging.
        class_second: the first destination is a special token, which stands behind the first source.
    """

    kept: Tensor = field(repr=False)
    merged: Tensor = field(repr=False)
    into: Tensor = field(repr=False)
    tokens: int
    class_second: bool = False

    @property
    def r(self) -> int:
        """Tokens that are merged away."""
        return int(self.merged.shape[-1])

    def sums(self, x: Tensor) -> Tensor:
        """Add every merged token to its destination.

        Shape: (batch, tokens, channels) -> (batch, tokens - r, channels), sources before destinations.
        """
        sources, destinations = x[:, ::2], x[:, 1::2]
        added = destinations.scatter_add(1, _wide(self.into, x), sources.gather(1, _wide(self.merged, x)))
        kept = sources.gather(1, _wide(self.kept, x))
        if self.class_second:
            return torch.cat([kept[:, :1], added[:, :1], kept[:, 1:], added[:, 1:]], dim=1)
        return torch.cat([kept, added], dim=1)

    def copied_back(self, x: Tensor) -> Tensor:
        """Give every token its place again; a merged one is a copy of what it was merged into.

        Shape: (batch, tokens - r, channels) -> (batch, tokens, channels)
        """
        x = self._sources_first(x)
        kept, destinations = x[:, : self.kept.shape[1]], x[:, self.kept.shape[1] :]
        out = x.new_empty(len(x), self.tokens, x.shape[-1])
        out[:, 1::2] = destinations
        out.scatter_(1, _wide(2 * self.kept, x), kept)
        return out.scatter_(1, _wide(2 * self.merged, x), destinations.gather(1, _wide(self.into, x)))

    def _sources_first(self, x: Tensor) -> Tensor:
        """Undo the place of a second special token."""
        if not self.class_second:
            return x
        count = self.kept.shape[1]
        return torch.cat([x[:, :1], x[:, 2 : count + 1], x[:, 1:2], x[:, count + 1 :]], dim=1)


def _wide(index: Tensor, x: Tensor) -> Tensor:
    return index[..., None].expand(-1, -1, x.shape[-1])


def bipartite_soft_matching(metric: Tensor, r: int, *, protected: int = 0) -> Matching:
    """Link every even token to the most similar odd one, and take the `r` strongest links.

    Shape: metric (batch, tokens, channels); similarity is the cosine.
    Cost:  tokens^2 / 4 products for each example.

    Args:
        metric: what tokens are compared by; the paper takes attention keys, averaged over heads.
        r: tokens to merge away; at most half of those that are not protected.
        protected: 1 keeps the first token (class) from being merged, 2 the first two (class and distillation).

    Raises:
        BadParameter: `r` is below 1, or more than half of the tokens; the metric is no batch of tokens.

    Differs:
        Links of equal strength are taken in the order of the tokens; the official code leaves their order open.

    Example:
        >>> rows = [[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [1, 1], [-1, 0]]
        >>> found = bipartite_soft_matching(torch.tensor([rows]), 2)
        >>> found.merged.tolist(), found.into.tolist(), found.kept.tolist()
        ([[0, 1]], [[0, 1]], [[2]])
    """
    if protected not in (0, 1, 2):
        raise BadParameter("`protected` is not usable.", got=protected, want="0, 1 or 2 special tokens in front")
    if metric.dim() != 3 or not metric.is_floating_point():
        got = f"{metric.dtype} {tuple(metric.shape)}"
        raise BadParameter("`metric` is not usable.", got=got, want="floats (batch, tokens, channels)")
    most = largest_r(metric.shape[1], protected)
    if not isinstance(r, int) or not 1 <= r <= most:
        raise BadParameter("`r` is not usable.", got=r, want=f"1 to {most}, half of {metric.shape[1]} tokens")
    with torch.no_grad():
        unit = metric / metric.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(metric.dtype).tiny)
        scores = unit[:, ::2] @ unit[:, 1::2].transpose(-1, -2)
        if protected > 0:
            scores[:, 0] = -torch.inf
        if protected > 1:
            scores[:, :, 0] = -torch.inf
        strength, best = scores.max(dim=-1)
        order = strength.argsort(dim=-1, descending=True, stable=True)
        merged = order[:, :r]
        kept = order[:, r:].sort(dim=-1).values
        return Matching(kept, merged, best.gather(1, merged), metric.shape[1], protected > 1)


def largest_r(tokens: int, protected: int = 0) -> int:
    """The most tokens that one matching can merge away.

    Example:
        >>> largest_r(197, 1), largest_r(6), largest_r(1, 1)
        (98, 3, 0)
    """
    return max(0, (tokens - protected) // 2)


def merge_tokens(matching: Matching, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Merge tokens, each weighing as many patches as it stands for; returns tokens and their sizes.

    Shape: x (batch, tokens, channels), sizes (batch, tokens) -> the same with tokens - r

    Args:
        matching: which into which.
        x: tokens.
        sizes: patches that each stands for; None: one each.

    Example:
        >>> x = torch.tensor([[[1.0], [3.0], [9.0], [5.0]]])
        >>> matching = bipartite_soft_matching(x, 1)
        >>> tokens, sizes = merge_tokens(matching, x, torch.tensor([[3.0, 1.0, 1.0, 1.0]]))
        >>> tokens.flatten().tolist(), sizes.tolist()
        ([9.0, 1.5, 5.0], [[1.0, 4.0, 1.0]])
    """
    weights = x.new_ones(x.shape[:2]) if sizes is None else sizes
    summed = matching.sums(torch.cat([x * weights[..., None], weights[..., None]], dim=-1))
    sizes = summed[..., -1]
    return summed[..., :-1] / sizes[..., None], sizes
