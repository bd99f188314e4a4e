"""Batches whose inputs want different weights: parted into groups of equal ones, and put together again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Weights = tuple[float, ...]
"""One number for each task."""
_OF_NO_INPUT = frozenset({"cache_position"})
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Group:
    """Inputs that want the same weights: the weights, and which rows of the batch they are."""

    weights: Weights
    rows: tuple[int, ...]


def groups_of(weights: Tensor) -> list[Group]:
    """Rows of (batch, tasks) by equal weights, in the order in which the weights first occur.

    Example:
        >>> groups_of(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
        [Group(weights=(1.0, 0.0), rows=(0, 2)), Group(weights=(0.0, 1.0), rows=(1,))]
    """
    found: dict[Weights, list[int]] = {}
    for row, each in enumerate(weights.tolist()):
        found.setdefault(tuple(each), []).append(row)
    return [Group(each, tuple(rows)) for each, rows in found.items()]


def rows_of(inputs: Mapping[str, Any], size: int, rows: Sequence[int]) -> dict[str, Any]:
    """Some inputs of a batch; what does not count inputs along its first axis is handed on as it is."""
    return {name: _taken(name, value, size, rows) for name, value in inputs.items()}


def _taken(name: str, value: Any, size: int, rows: Sequence[int]) -> Any:
    if isinstance(value, Tensor) and value.dim() > 0 and len(value) == size and name not in _OF_NO_INPUT:
        return value[torch.tensor(rows, device=value.device)]
    return value


def labelled(inputs: Mapping[str, Any], *, shifted: bool) -> int:
    """How many labels of some inputs are judged: what their mean loss is the mean of.

    Args:
        inputs: of one group.
        shifted: whether token t is judged by label t + 1.
    """
    labels = inputs.get("labels")
    if not isinstance(labels, Tensor):
        return 1
    if labels.dim() > 1 and not labels.is_floating_point():
        return int(((labels[:, 1:] if shifted else labels) != IGNORED).sum())
    return len(labels)


def together(outputs: Sequence[Any], groups: Sequence[Group], counts: Sequence[int]) -> Any:
    """The outputs of groups as the output of the whole batch.

    Logits of heads with different numbers of classes are filled up with -inf. The loss is the mean over all labels.
    Caches, which cannot be put together, are left out.

    Args:
        outputs: of each group: tensors, tuples, or mappings of them.
        groups: their rows.
        counts: labels of each group.
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        if first.dim() == 0:
            return _mean(outputs, counts)
        fits = all(len(part) == len(group.rows) for part, group in zip(outputs, groups, strict=True))
        return _in_order(outputs, groups) if fits else None
    if isinstance(first, Mapping):
        known = {key: together([out[key] for out in outputs], groups, counts) for key in first}
        return type(first)(**{key: value for key, value in known.items() if value is not None})  # type: ignore[call-arg]
    if isinstance(first, (tuple, list)):
        return type(first)(together(parts, groups, counts) for parts in zip(*outputs, strict=True))
    return None


def _mean(losses: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    whole = max(1, sum(counts))
    return torch.stack([loss * (n / whole) for loss, n in zip(losses, counts, strict=True) if n]).sum()


def _in_order(parts: Sequence[Tensor], groups: Sequence[Group]) -> Tensor:
    widest = max(part.shape[-1] for part in parts)
    wide = [_widened(part, widest) if part.dim() > 1 else part for part in parts]
    order = torch.tensor([row for group in groups for row in group.rows], device=wide[0].device)
    return torch.cat(wide)[order.argsort()]


def _widened(part: Tensor, width: int) -> Tensor:
    missing = width - part.shape[-1]
    return torch.nn.functional.pad(part, (0, missing), value=float("-inf")) if missing else part
