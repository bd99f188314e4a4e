"""Counter-based draws: a draw depends on its place alone, never on what was drawn before.

The place is (seed, step, model id, leaf name, index in the leaf). The first four give a 64-bit key by BLAKE2; the key
and the index go through the finaliser of SplitMix64. All arithmetic is on integers modulo 2^64, so draws are the same
on every machine, for every slicing and thread count, and in whatever order models and tensors come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from solera.ops.contract import Facts, Stack

DRAW_BITS = 53
"""Draws are integers in [0, 2^53): float64 holds them, and their product with a share, exactly."""

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def draw_bits(facts: Facts, model_id: str, start: int, count: int, device: torch.device | None = None) -> Tensor:
    """Draws for elements [start, start + count) of the leaf: int64 in [0, 2^53).

    Example:
        >>> facts = Facts(shape=(9,), leaf="w", seed=7)
        >>> bool((draw_bits(facts, "a", 0, 9)[4:6] == draw_bits(facts, "a", 4, 2)).all())
        True
    """
    index = torch.arange(start + 1, start + count + 1, dtype=torch.int64, device=device)
    mixed = index * _signed(_GOLDEN) + _key(facts, model_id)
    mixed = (mixed ^ _shift(mixed, 30)) * _signed(_MIX_1)
    mixed = (mixed ^ _shift(mixed, 27)) * _signed(_MIX_2)
    return _shift(mixed ^ _shift(mixed, 31), 64 - DRAW_BITS)


def draws(stack: Stack, facts: Facts) -> Tensor:
    """Draws for a whole unit: int64 in [0, 2^53), shaped like `stack.values`."""
    unit, device = stack.values.shape[1:], stack.values.device
    ids = model_ids(facts, stack.models)
    return torch.stack([draw_bits(facts, model, facts.start, unit.numel(), device).reshape(unit) for model in ids])


def bar(share: float) -> int:
    """The integer that a draw stays below with probability `share` in [0, 1].

    Example:
        >>> bar(0.0), bar(0.5) == 2**52, bar(1.0) == 2**53
        (0, True, True)
    """
    return int(share * 2.0**DRAW_BITS)


def model_ids(facts: Facts, models: int) -> Sequence[str]:
    """The operands' stable ids; their positions where the facts carry none."""
    return facts.models or tuple(str(position) for position in range(models))


def _key(facts: Facts, model_id: str) -> int:
    """64 bits from everything that names a draw but its index; lengths keep the parts apart."""
    words = (facts.seed % 2**64, facts.step, len(model_id.encode()), len(facts.leaf.encode()))
    text = b"".join(word.to_bytes(8, "little") for word in words) + model_id.encode() + facts.leaf.encode()
    return _signed(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little"))


def _signed(word: int) -> int:
    """A 64-bit word as the int64 of the same bits."""
    return word - 2**64 if word >= 2**63 else word


def _shift(words: Tensor, places: int) -> Tensor:
    """Logical shift to the right: the sign bit comes in as 0."""
    return (words >> places) & ((1 << (64 - places)) - 1)
