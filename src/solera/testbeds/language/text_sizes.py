"""What each size of `text-6` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from solera.testbeds.contract import Size
from solera.testbeds.language.text_data import CLASSES, Amounts
from solera.testbeds.language.text_grammar import GRAMMAR
from solera.testbeds.language.training import Training


@dataclass(frozen=True, slots=True)
class TextSizes:
    """Everything that differs between tiny, small and full.

    Attributes:
        hidden, inner, layers, heads: of the BERT. vocabulary: of its WordPiece tokenizer.
        amounts: of sentences.
        base: training on all tasks together, heads included; its rate does not fall, and experts settle from there.
        expert: task -> training on it from the base. scratch: the same from random weights.
    """

    hidden: int
    inner: int
    layers: int
    heads: int
    vocabulary: int
    amounts: Amounts
    base: Training
    expert: Mapping[str, Training]
    scratch: Training


READ = tuple(task for task in CLASSES if task not in GRAMMAR)
"""The tasks whose sentences are read, not made: few sentences, which a low rate learns by heart."""

_FEW = Training(steps=4, rate=1e-3, batch=8, warmup=2)

SIZES = {
    "tiny": TextSizes(16, 32, 2, 2, 400, Amounts(40, 12, 16, 2), _FEW, dict.fromkeys(CLASSES, _FEW), _FEW),
    "small": TextSizes(
        128, 256, 3, 4, 2000, Amounts(4000, 300, 500, 60),
        base=Training(steps=120, rate=1e-3, batch=64, warmup=50, fall="none"),
        expert={**dict.fromkeys(READ, Training(steps=800, rate=1e-3, batch=32)),
                **dict.fromkeys(GRAMMAR, Training(steps=400, rate=4e-4, batch=32)),
                "sentiment": Training(steps=800, rate=4e-4, batch=32)},
        scratch=Training(steps=500, rate=1e-3, batch=32, warmup=50),
    ),
    "full": TextSizes(
        256, 1024, 6, 8, 8000, Amounts(40_000, 1000, 2000, 1000),
        base=Training(steps=1000, rate=5e-4, batch=128, gpu=True, warmup=100),
        expert=dict.fromkeys(CLASSES, Training(steps=3000, rate=1e-4, batch=64, gpu=True)),
        scratch=Training(steps=4000, rate=5e-4, batch=64, gpu=True, warmup=200),
    ),
}  # fmt: skip


def text_sizes(size: Size) -> TextSizes:
    """The settings of a size.

    Example:
        >>> text_sizes("tiny").layers
        2
    """
    return SIZES[size]
