"""What each size of `lm-6` holds: shapes, mixtures, tasks and lengths of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from solera.testbeds.contract import Size
from solera.testbeds.language.batches import Mixture, Source
from solera.testbeds.language.items import Range
from solera.testbeds.language.training import Training


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama: sizes of its parts; half as many key-value heads as heads."""

    hidden: int
    inner: int
    layers: int
    heads: int = 4


@dataclass(frozen=True, slots=True)
class Job:
    """A task: what is asked of it, and how long its expert and its network from scratch are trained.

    `start` is trained on first and makes way for `asked` over the first half of the steps: a curriculum.
    """

    asked: Mixture
    expert: Training
    scratch: Training
    start: Mixture = ()


@dataclass(frozen=True, slots=True)
class Sizes:
    """Everything that differs between tiny, small and full.

    Attributes:
        shape, narrow: of the models, and of the one with many thin layers.
        mixture: what the base is trained on. steady: how, at a constant rate: experts settle from there.
        thin: training of the narrow model.
        jobs: task -> job; the six experts, in order. unseen: tasks that no expert is trained on.
        brief, further: training of the expert of short answers, and of the one that goes on with pre-training.
        kept: checkpoints of the steady part. items: validation and test items of a task.
    """

    shape: Shape
    narrow: Shape
    vocabulary: int
    mixture: Mixture
    steady: Training
    thin: Training
    jobs: Mapping[str, Job]
    unseen: Mapping[str, Mixture]
    brief: Training
    further: Training
    kept: int
    items: tuple[int, int]


Difficulty = Mapping[str, Range]

NAMES = {"arithmetic": "add", "sorting": "sort", "recall": "recall", "brackets": "brackets", "instruction": "form"}
"""Task -> its kind, in the first language. The sixth is the second language."""

LONG = ("arithmetic", "sorting")
"""The tasks that are answered by a long chain and then the answer."""


SHARES = {"add": 1.0, "sort": 1.0, "recall": 0.7, "brackets": 0.8, "form": 1.0}
"""Kind -> its weight in the mixture; what is learnt slowly comes more often."""
SECOND = 0.4
"""Weight of each kind in the second language."""


def _mixture(easy: Difficulty) -> Mixture:
    """All kinds in both languages."""
    first = tuple(Source(kind, easy[kind], share=share) for kind, share in SHARES.items())
    return first + tuple(Source(kind, easy[kind], "b", share=SECOND) for kind in SHARES)


def _asked(hard: Difficulty, easy: Difficulty) -> dict[str, Mixture]:
    """What each of the six tasks asks. The second language leaves arithmetic out: that is left to transfer."""
    first = {name: (Source(kind, hard[kind]),) for name, kind in NAMES.items()}
    kinds = [kind for kind in NAMES.values() if kind != "add"]
    return {**first, "language": tuple(Source(kind, easy[kind], "b") for kind in kinds)}


def _sizes(
    easy: Difficulty,
    hard: Difficulty,
    expert: Training,
    scratch: Training,
    slow: Mapping[str, Training] | None = None,
    **others: object,
) -> Sizes:
    """All of a size; `slow` are the trainings of experts that need one of their own."""
    asked = _asked(hard, easy)
    start = {"recall": (Source("recall", easy["recall"]),)}
    own = slow or {}
    jobs = {n: Job(a, own.get(n, expert), scratch, start.get(n, ())) for n, a in asked.items()}
    return Sizes(
        mixture=_mixture(easy),
        jobs=jobs,
        unseen={"arithmetic-b": (Source("add", hard["add"], "b"),)},
        **others,  # type: ignore[arg-type]
    )


_EASY = {"add": Range(2, 2), "sort": Range(3, 5), "recall": Range(8, 16), "brackets": Range(6, 14), "form": Range(2, 4)}
_HARD = {**_EASY, "sort": Range(4, 6), "recall": Range(8, 56), "form": Range(3, 5)}


def tiny() -> Sizes:
    """Seconds: a few steps of very small models, for tests."""
    easy = {
        "add": Range(1, 1),
        "sort": Range(2, 3),
        "recall": Range(5, 8),
        "brackets": Range(2, 4),
        "form": Range(2, 2),
    }
    few = Training(steps=4, rate=1e-3, batch=8, warmup=2)
    return _sizes(
        easy,
        {**easy, "recall": Range(5, 12)},
        few,
        few,
        shape=Shape(32, 48, 4),
        narrow=Shape(16, 24, 8),
        vocabulary=420,
        steady=Training(steps=10, rate=1e-3, batch=8, warmup=2, fall="none"),
        thin=few,
        brief=few,
        further=few,
        kept=10,
        items=(12, 16),
    )


def small() -> Sizes:
    """Minutes on two cores: 0.8 M parameters."""
    return _sizes(
        _EASY,
        _HARD,
        Training(steps=350, rate=1.5e-4),
        Training(steps=900, rate=2e-3, warmup=50, hold=0.6),
        {
            "instruction": Training(steps=400, rate=2.5e-4, hold=0.5),
            "language": Training(steps=700, rate=3e-4, hold=0.5),
        },
        shape=Shape(128, 352, 4),
        narrow=Shape(64, 176, 8),
        vocabulary=512,
        steady=Training(steps=1200, rate=2e-3, warmup=50, fall="none"),
        thin=Training(steps=900, rate=3e-3, warmup=50, hold=0.6),
        brief=Training(steps=250, rate=3e-4),
        further=Training(steps=250, rate=5e-4),
        kept=10,
        items=(200, 400),
    )


def full() -> Sizes:
    """A GPU, or hours: 6 M parameters, three digits, longer lists, 250 tokens of context."""
    easy = {
        "add": Range(2, 3), "sort": Range(4, 8), "recall": Range(8, 64), "brackets": Range(6, 24), "form": Range(3, 8),
    }  # fmt: skip
    return _sizes(
        easy,
        {**easy, "recall": Range(8, 240)},
        Training(steps=1500, rate=1e-4, batch=128, gpu=True),
        Training(steps=6000, rate=1e-3, batch=128, gpu=True, warmup=200, hold=0.6),
        shape=Shape(256, 704, 8, 8),
        narrow=Shape(96, 256, 16),
        vocabulary=512,
        steady=Training(steps=2000, rate=1e-3, batch=128, gpu=True, warmup=200, fall="none"),
        thin=Training(steps=4000, rate=2e-3, batch=128, gpu=True, warmup=200, hold=0.6),
        brief=Training(steps=1500, rate=3e-4, batch=128, gpu=True),
        further=Training(steps=1500, rate=6e-4, batch=128, gpu=True),
        kept=20,
        items=(500, 1000),
    )


SIZES = {"tiny": tiny, "small": small, "full": full}


def sizes(size: Size) -> Sizes:
    """The settings of a size.

    Example:
        >>> list(sizes("tiny").jobs)
        ['arithmetic', 'sorting', 'recall', 'brackets', 'instruction', 'language']
    """
    return SIZES[size]()
