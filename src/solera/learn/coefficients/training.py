"""The loop: draw, merge, ask, step; stop when nothing gets better; go on where a run was stopped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solera.errors import NonFinite, TargetInUse
from solera.learn.coefficients.contract import Answer, LearnCard, Objective, Settings
from solera.learn.coefficients.experts import Experts, with_heads
from solera.learn.coefficients.feeding import Pool, drawn
from solera.learn.coefficients.live import Live, Weights
from solera.learn.statistics.contract import Listener
from solera.types import Event

STATE = "state.safetensors"


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


@dataclass(eq=False)
class Progress:
    """Everything that changes, and is kept between runs.

    `losses`: of every step. `checks`: (step, loss) of every check. `best`: coefficients of the best check.
    """

    raw: Tensor
    optimizer: torch.optim.Optimizer
    step: int = 0
    losses: list[float] = field(default_factory=list)
    checks: list[tuple[int, float]] = field(default_factory=list)
    best: Tensor | None = None
    waited: int = 0
    stopped: str = ""


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
    """The learning rate of a step: constant, or a cosine down to a tenth that starts anew after `restarts` steps, then
    after twice as many.

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
    losses = [
        _scored(course, loose, pool, chosen, progress.step)
        for pool, chosen in ((course.pools[task], rows) for task, rows in drawn(course.pools, said, progress.step))
    ]
    share = 1.0 if said.each_task else 1 / len(losses)
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


def _scored(course: Course, weights: Weights, pool: Pool, chosen: Sequence[int], step: int) -> float:
    """Loss of one batch; its gradients are added at the weights."""
    expert = course.experts.answer(pool, chosen) if course.card.experts else None

    def score(answer: Answer) -> Tensor:
        loss = course.objective(answer, expert, course.said.options)
        if not bool(torch.isfinite(loss)):
            fix = "lower --rate, or look at the data and at the experts on it"
            where = f"step {step + 1}, {pool.name}"
            raise NonFinite("The loss is not finite.", where=where, got=float(loss), want="a number", fix=fix)
        return loss

    given = with_heads(weights, course.experts.heads.get(pool.expert, {}))
    return course.live.loss(given, pool.batch(chosen), score, hidden=hidden(course))


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
    loss = held_out_loss(course, progress.raw) if course.held_out else _recent(progress)
    best = min((value for _, value in progress.checks), default=math.inf)
    progress.checks.append((progress.step, loss))
    if loss < best - said.tolerance:
        progress.best, progress.waited = progress.raw.detach().clone(), 0
        return
    progress.waited += 1
    if said.patience and progress.waited >= said.patience:
        progress.stopped = f"no better loss in {progress.waited} checks"


def _recent(progress: Progress) -> float:
    """Mean loss of the steps since the last check."""
    since = progress.checks[-1][0] if progress.checks else 0
    return math.fsum(progress.losses[since:]) / max(1, len(progress.losses) - since)


@torch.no_grad()
def held_out_loss(course: Course, raw: Tensor) -> float:
    """Mean over tasks of the loss on the examples that nothing is learnt from."""
    weights = course.live.weights(bounded(raw, course.said))
    each = []
    for pool in course.held_out:
        cuts = range(0, len(pool.rows), course.said.batch)
        rows = [range(i, min(len(pool.rows), i + course.said.batch)) for i in cuts]
        each.append(math.fsum(_scored(course, weights, pool, part, -1) * len(part) for part in rows) / len(pool.rows))
    return math.fsum(each) / len(each)


def keep(progress: Progress, place: Path, key: str) -> None:
    """Write what a later run needs, under another name that is exchanged at the end."""
    from safetensors.torch import save_file

    found = progress.optimizer.state_dict()["state"].get(0, {})
    tensors = {f"optimizer.{name}": value for name, value in found.items()}
    tensors |= {"raw": progress.raw.detach()} | ({} if progress.best is None else {"best": progress.best})
    plain = {name: getattr(progress, name) for name in ("step", "losses", "checks", "waited", "stopped")}
    place.mkdir(parents=True, exist_ok=True)
    staged = place / f"{STATE}.partial"
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    save_file(contiguous, staged, {"key": key, "progress": json.dumps(plain)})
    staged.replace(place / STATE)


def resumed(progress: Progress, place: Path, key: str) -> Progress:
    """What an earlier run kept in `place`, else the progress given.

    Raises:
        TargetInUse: what is kept belongs to other models, data or settings.
    """
    from safetensors import safe_open

    if not (place / STATE).exists():
        return progress
    with safe_open(place / STATE, "pt") as file:
        about: Mapping[str, str] = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
    if about["key"] != key:
        fix = "choose another folder, or --force to start anew"
        got = differing(about["key"], key)
        raise TargetInUse("The folder holds another learning that was not finished.", where=place, got=got, fix=fix)
    plain: dict[str, Any] = json.loads(about["progress"])
    with torch.no_grad():
        progress.raw.copy_(tensors["raw"])
    prefix = "optimizer."
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    kept = progress.optimizer.state_dict()
    progress.optimizer.load_state_dict({**kept, "state": {0: state} if state else {}})
    progress.best = tensors.get("best")
    plain["checks"] = [(int(step), float(loss)) for step, loss in plain["checks"]]
    for name, value in plain.items():
        setattr(progress, name, value)
    return progress


def differing(before: str, after: str) -> str:
    """What two keys differ in."""
    old, new = json.loads(before), json.loads(after)
    return "other " + ", ".join(name for name in new if old.get(name) != new[name])
