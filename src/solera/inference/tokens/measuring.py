"""What token merging costs and brings on a model and labelled data: accuracy, agreement, tokens, images per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from solera.errors import BadParameter, PlanError
from solera.inference.tokens.merging import merged_tokens
from solera.inference.tokens.schedule import Reduction


class Labelled(Protocol):
    """Inputs of a forward pass by name, labels (batch,), and the logits that can answer (None: all)."""

    @property
    def inputs(self) -> Mapping[str, Tensor]:
        """Tensors that count examples along their first axis."""
        ...

    @property
    def labels(self) -> Tensor | None:
        """The right answers."""
        ...

    @property
    def answers(self) -> slice | None:
        """Which logits belong to the task."""
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """One reduction.

    Attributes:
        r: as asked; 0 is the plain model, without any wrapping. left: tokens that enter the last layer's MLP.
        accuracy: share of right answers; None without labels. agreement: share of answers equal to the plain model's.
        images_s: images per second, of the fastest of all rounds. seconds: CPU time of this process in that round.
        right: per image, for paired intervals.
    """

    r: Reduction
    left: int
    accuracy: float | None
    agreement: float
    images_s: float
    seconds: float
    right: tuple[bool, ...] = field(default=(), repr=False)


def measure_merging(
    model: nn.Module,
    batches: Sequence[Labelled],
    reductions: Iterable[Reduction],
    *,
    proportional: bool = True,
    rounds: int = 1,
    tell: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> tuple[Measured, ...]:
    """Run a model with several reductions, the plain model first.

    Rounds go through all reductions in turn, so that a busy machine is busy for all of them.

    Args:
        model: in eval mode, with logits.
        batches: labelled or not.
        reductions: values of `r`; 0 is added where it is missing.
        proportional: see `merged_tokens`.
        rounds: passes over the data; answers are of the first, times of the fastest.
        tell: called with passes done and all passes.

    Raises:
        BadParameter: there is no data, fewer than one round, an `r` is not usable. PlanError: see `merged_tokens`; the
            model gives no logits.
    """
    if not batches or rounds < 1:
        raise BadParameter("There is nothing to measure on.", got=f"{len(batches)} batches, {rounds} rounds")
    wanted: list[Reduction] = [0]
    wanted += [r for r in reductions if r not in wanted]
    first = [_answers(model, batches, r, proportional=proportional) for r in wanted]
    times = [[row[2]] for row in first]
    tell(len(wanted), len(wanted) * rounds)
    for number in range(1, rounds):
        for place, r in enumerate(wanted):
            times[place].append(_answers(model, batches, r, proportional=proportional)[2])
        tell(len(wanted) * (number + 1), len(wanted) * rounds)
    return tuple(
        _row(r, answers, left, batches, first[0][0], min(each))
        for r, (answers, left, _), each in zip(wanted, first, times, strict=True)
    )


@torch.no_grad()
def _answers(
    model: nn.Module, batches: Sequence[Labelled], r: Reduction, *, proportional: bool
) -> tuple[list[Tensor], int, tuple[float, float]]:
    """Answers by batch, tokens left, and (wall, CPU) seconds of the forward passes."""
    found = []
    began = time.perf_counter(), time.process_time()
    with nullcontext() if r == 0 else merged_tokens(model, r, proportional=proportional) as merging:
        for batch in batches:
            logits = getattr(model(**batch.inputs), "logits", None)
            if logits is None:
                raise PlanError("The model has no head: there are no answers.", got=type(model).__name__, want="logits")
            found.append(logits[..., batch.answers or slice(None)].argmax(-1).cpu())
    took = time.perf_counter() - began[0], time.process_time() - began[1]
    return found, merging.counts[-1] if merging else _tokens(model, batches[0]), took


def _tokens(model: nn.Module, batch: Labelled) -> int:
    """Tokens of one image."""
    with merged_tokens(model, 0) as merging:
        model(**{name: value[:1] for name, value in batch.inputs.items()})
    return merging.tokens


def _row(
    r: Reduction,
    answers: Sequence[Tensor],
    left: int,
    batches: Sequence[Labelled],
    plain: Sequence[Tensor],
    took: tuple[float, float],
) -> Measured:
    images = sum(len(answer) for answer in answers)
    same = sum(int((a == b).sum()) for a, b in zip(answers, plain, strict=True))
    labelled = all(batch.labels is not None for batch in batches)
    right: list[bool] = []
    if labelled:
        for answer, batch in zip(answers, batches, strict=True):
            right += [] if batch.labels is None else answer.eq(batch.labels.cpu()).tolist()
    accuracy = sum(right) / images if labelled else None
    return Measured(r, left, accuracy, same / images, images / took[0], took[1], tuple(right))
