"""The loop: draw, merge, ask, step; stop when nothing gets better; go on where a run was stopped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from solera.errors import NonFinite
from solera.learn.coefficients.contract import Answer, LearnCard, Objective, Settings
from solera.learn.coefficients.experts import Experts, with_heads
from solera.learn.coefficients.feeding import Pool, drawn, joined
from solera.learn.coefficients.live import Live, Weights
from solera.learn.coefficients.state import Progress, keep
from solera.learn.statistics.contract import Listener
from solera.types import Event


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Everything that stays the same while coefficients are learnt."""

    card: LearnCard
    said: Settings
    live: Live
    objective: Objective
    pools: tuple[Pool, ...]
    models: int
    held_out: tuple[Pool, ...] = ()
    experts: Experts = field(default_factory=Experts)
    frozen: Tensor | None = None
    """(groups, models), true where a coefficient stays where it starts."""


def started(course: Course, rows: int) -> Progress:
    """Coefficients where they start, for so many groups."""
    said = course.said
    first = torch.full((rows, course.models), said.init)
    raw = (first.logit() if said.bounds == "sigmoid" else first).requires_grad_()
    return Progress(raw, torch.optim.AdamW([raw], lr=said.rate, weight_decay=said.decay))


def bounded(raw: Tensor, said: Settings) -> Tensor:
    """Coefficients from what the optimizer moves.

    Example:
        >>> bounded(torch.tensor([-0.5, 0.5, 1.5]), Settings())
        tensor([0.0000, 0.5000, 1.0000])
    """
    if said.bounds == "sigmoid":
        return raw.sigmoid()
    return raw.clamp(0, 1) if said.bounds == "clamp" else raw


def rate_at(said: Settings, step: int) -> float:
    """The learning rate of a step: constant, or cosines to a tenth of it, each twice as long as the one before.

    Example:
        >>> said = Settings(rate=1.0, restarts=2)
        >>> [round(rate_at(said, step), 3) for step in range(4)]
        [1.0, 0.55, 1.0, 0.868]
    """
    if said.restarts == 0:
        return said.rate
    length, inside = said.restarts, step
    while inside >= length:
        inside, length = inside - length, length * 2
    low = 0.1 * said.rate
    return low + (said.rate - low) * (1 + math.cos(math.pi * inside / length)) / 2


def train(course: Course, progress: Progress, place: Path | None, key: str, on_event: Listener) -> Progress:
    """Learn until the last step, or until it is time to stop; `place` keeps what a later run needs to go on.

    Raises:
        NonFinite: the loss is NaN or infinite.
    """
    said = course.said
    while progress.step < said.steps and not progress.stopped:
        progress.losses.append(_step(course, progress))
        progress.step += 1
        on_event(Event("progress", "coefficients", done=progress.step, total=said.steps, unit="steps"))
        if progress.step % said.every == 0 or progress.step == said.steps:
            check(course, progress)
            if place is not None:
                keep(progress, place, key)
    return progress


def _step(course: Course, progress: Progress) -> float:
    """One step of the optimizer; the loss before it."""
    said, live = course.said, course.live
    coefficients = bounded(progress.raw, said)
    weights = live.weights(coefficients)
    loose = {name: value.detach().requires_grad_() for name, value in weights.items()}
    draws = [Draw(course.pools[task], rows) for task, rows in drawn(course.pools, said, progress.step)]
    losses = [_scored(course, loose, group, progress.step) for group in together(course, draws)]
    share = 1.0 if said.each_task else 1 / len(draws)
    gradients = [_gradient(loose.pop(name)) * share for name in weights]
    anchor = _anchor(course, coefficients)
    progress.optimizer.zero_grad()
    torch.autograd.backward([*weights.values(), anchor], [*gradients, torch.ones_like(anchor)])
    _move(course, progress)
    return math.fsum(losses) * share + float(anchor.detach())


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad


def _move(course: Course, progress: Progress) -> None:
    """Let the optimizer move what it may."""
    raw, said = progress.raw, course.said
    assert raw.grad is not None
    if course.frozen is not None:
        raw.grad.masked_fill_(course.frozen, 0.0)
    if said.clip:
        torch.nn.utils.clip_grad_norm_([raw], said.clip)
    for group in progress.optimizer.param_groups:
        group["lr"] = rate_at(said, progress.step)
    before = raw.detach().clone()
    progress.optimizer.step()
    if course.frozen is not None:
        with torch.no_grad():
            raw.copy_(torch.where(course.frozen, before, raw))


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Some examples of one task: one batch of the objective."""

    pool: Pool
    rows: Sequence[int]


def together(course: Course, draws: Sequence[Draw]) -> Iterator[list[Draw]]:
    """Batches that go through the model in one pass: neighbours of equal shape, without heads of their own."""
    group: list[Draw] = []
    for draw in draws:
        size = sum(len(one.rows) for one in group) + len(draw.rows)
        if group and (course.experts.heads or size > course.said.together or not _alike(group[0], draw)):
            yield group
            group = []
        group.append(draw)
    if group:
        yield group


def _alike(one: Draw, other: Draw) -> bool:
    """Whether no padding comes in by joining two batches."""
    shapes = {
        tuple((name, value.shape[1:]) for name, value in draw.pool.rows[i].inputs.items())
        for draw in (one, other)
        for i in draw.rows
    }
    return len(shapes) == 1


def _scored(course: Course, weights: Weights, group: Sequence[Draw], step: int) -> float:
    """Sum of the losses of some batches in one pass; its gradients are added at the weights."""
    rows = [draw.pool.rows[i] for draw in group for i in draw.rows]
    batch = replace(joined(rows), answers=None)

    def score(answer: Answer) -> Tensor:
        losses, start = [], 0
        for draw in group:
            losses.append(_loss(course, cut(answer, draw, start), draw, step))
            start += len(draw.rows)
        return torch.stack(losses).sum()

    given = with_heads(weights, course.experts.heads.get(group[0].pool.expert, {}))
    return course.live.loss(given, batch, score, hidden=hidden(course))


def cut(answer: Answer, draw: Draw, start: int) -> Answer:
    """What a model says of one batch among several, on the logits that can answer."""
    inside = slice(start, start + len(draw.rows))
    answers = draw.pool.rows[0].answers
    logits = answer.logits[inside] if answers is None else answer.logits[inside][..., answers]
    real = None if answer.real is None else answer.real[inside]
    return Answer(logits, real, tuple(state[inside] for state in answer.hidden))


def _loss(course: Course, answer: Answer, draw: Draw, step: int) -> Tensor:
    expert = course.experts.answer(draw.pool, draw.rows) if course.card.experts else None
    loss = course.objective(answer, expert, course.said.options)
    if not bool(torch.isfinite(loss)):
        fix = "lower --rate, or look at the data and at the experts on it"
        where = f"step {step + 1}, {draw.pool.name}"
        raise NonFinite("The loss is not finite.", where=where, got=float(loss.detach()), want="a number", fix=fix)
    return loss


def hidden(course: Course) -> bool:
    """Whether hidden states are compared."""
    return bool(course.card.layers and course.said.options.get(course.card.layers))


def _anchor(course: Course, coefficients: Tensor) -> Tensor:
    """Mean distance of coefficients from where they start, added over models."""
    weight = course.said.options.get(course.card.anchor, 0.0) if course.card.anchor else 0.0
    if not weight:
        return coefficients.sum() * 0.0
    away = (coefficients - course.said.init).abs()
    moving = away if course.frozen is None else away[~course.frozen]
    return weight * moving.sum() / max(1, moving.numel() / coefficients.shape[1])


def check(course: Course, progress: Progress) -> None:
    """Look whether the loss got better; remember the best, and stop after too long a wait."""
    said = course.said
    loss = held_out_loss(course, progress.raw, progress.step) if course.held_out else _recent(progress)
    best = dict(progress.checks).get(progress.chosen, math.inf)
    progress.checks.append((progress.step, loss))
    if loss < best - said.tolerance:
        progress.best, progress.chosen, progress.waited = progress.raw.detach().clone(), progress.step, 0
        return
    progress.waited += 1
    if said.patience and progress.waited >= said.patience:
        progress.stopped = f"no better loss in {progress.waited} checks"


def _recent(progress: Progress) -> float:
    """Mean loss of the steps since the last check."""
    since = progress.checks[-1][0] if progress.checks else 0
    return math.fsum(progress.losses[since:]) / max(1, len(progress.losses) - since)


@torch.no_grad()
def held_out_loss(course: Course, raw: Tensor, step: int = 0) -> float:
    """Mean over tasks of the loss on the examples that nothing is learnt from."""
    weights = course.live.weights(bounded(raw, course.said))
    each = []
    for pool in course.held_out:
        cuts = range(0, len(pool.rows), course.said.batch)
        rows = [range(i, min(len(pool.rows), i + course.said.batch)) for i in cuts]
        losses = (_scored(course, weights, [Draw(pool, part)], step) * len(part) for part in rows)
        each.append(math.fsum(losses) / len(pool.rows))
    return math.fsum(each) / len(each)
