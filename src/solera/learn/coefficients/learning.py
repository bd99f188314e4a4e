"""From a recipe and unlabelled data to a recipe with coefficients."""

from __future__ import annotations

import glob
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from solera.app.holding import open_again
from solera.checkpoints import digest_checkpoint
from solera.errors import Interrupted, PlanError, TargetInUse
from solera.learn.coefficients import result as results
from solera.learn.coefficients.contract import LearnCard, Settings, TaskData
from solera.learn.coefficients.experts import Experts, Load, answered, head_leaves, own_heads, reference
from solera.learn.coefficients.feeding import Pool, parted, pools_of
from solera.learn.coefficients.groups import grouping_of, shortest, with_weights
from solera.learn.coefficients.learners import objective_of
from solera.learn.coefficients.live import Live, open_live
from solera.learn.coefficients.preparing import prepared
from solera.learn.coefficients.result import Data, Learnt, Result, Source
from solera.learn.coefficients.state import Progress, resumed
from solera.learn.coefficients.training import Course, bounded, hidden, started, train
from solera.learn.coefficients.vectors import Span, Vectors
from solera.learn.statistics.collecting import silent
from solera.learn.statistics.contract import Listener, extent_of
from solera.learn.statistics.loading import load_model
from solera.plan.build import make_plan
from solera.plan.tasks import LeafTask
from solera.recipe.identity import digest as recipe_digest
from solera.recipe.values import Match, Recipe
from solera.types import ModelRef

DEFAULT_MEMORY = 4 << 30
WORK = ".learning"


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be learnt, on what, how, and where the result goes.

    Attributes:
        recipe: lists models and names a base. card: the learner. data: of every task. said: all numbers.
        out: folder for recipe and artefact. frozen: what keeps the base's values; None: as the learner has it.
        memory: bytes of task vectors that may be held. device: where the model runs. dtype: in which type.
        recompute: activations are computed again backwards, where the model can do that.
        load: makes live models.
    """

    recipe: Recipe
    card: LearnCard
    data: Sequence[TaskData]
    said: Settings
    out: Path
    frozen: tuple[Match, ...] | None = None
    memory: int = DEFAULT_MEMORY
    device: str = "cpu"
    dtype: str = "float32"
    recompute: bool = False
    load: Load = load_model


def learn(job: Job, *, on_event: Listener = silent, force: bool = False) -> Result:
    """Learn coefficients and write a recipe with them, and an artefact that says how.

    Running the recipe gives the learnt model, in the types that the recipe's output asks for: learning saw the weights
    as they are written. A run that was stopped goes on from its last check.

    Raises:
        BadParameter: no data, settings that mean nothing, batches of unequal lengths.
        PlanError: the merge is not linear in its coefficients, the architecture is unknown, heads are missing.
        NonFinite: the loss is NaN or infinite. TargetInUse: `job.out` holds something else. Interrupted: by the user.
        CheckpointError: a model cannot be opened.

    Cost: two copies of the weights beside activations, and what of the task vectors fits `memory`.
    """
    began = time.perf_counter()
    learner = _Learner.opened(job, force=force)
    course, progress = learner.course(on_event)
    try:
        progress = train(course, progress, job.out / WORK, learner.key, on_event)
    except KeyboardInterrupt:
        fix = "the same command goes on from the last check"
        raise Interrupted("Learning was stopped.", where=job.out, got=f"step {progress.step}", fix=fix) from None
    done = _finish(learner, course, progress, time.perf_counter() - began)
    shutil.rmtree(job.out / WORK)
    return done


@dataclass(eq=False)
class _Learner:
    """A job with its models opened: everything before the first step."""

    job: Job
    recipe: Recipe
    pools: tuple[Pool, ...]
    sources: tuple[Source, ...]
    live: Live
    heads: Experts

    @classmethod
    def opened(cls, job: Job, *, force: bool) -> _Learner:
        """Check everything, in the order in which it is cheap."""
        _claim(job.out, force=force)
        recipe = prepared(job.recipe, job.card, job.frozen)
        operands = recipe.merge.models
        pools = pools_of(job.data, len(operands))
        asked = job.card.experts or job.said.heads == "own"
        sources = tuple(_source(ref) for ref in _references(recipe, asked=asked))
        base = recipe.merge.base
        assert isinstance(base, ModelRef)
        model = job.load(base).to(device=job.device, dtype=getattr(torch, job.dtype))
        heads = Experts()
        if job.said.heads == "own":
            recipe = _kept(recipe, [Match(name=glob.escape(name)) for name in head_leaves(model)])
            heads = Experts(heads=own_heads(model, pools, operands, load=job.load))
        return cls(job, recipe, pools, sources, _live(job, recipe, model), heads)

    @property
    def key(self) -> str:
        """What two runs agree in when the later one may go on where the earlier one stopped."""
        return json.dumps(
            {
                "learner": self.job.card.name,
                "merge": recipe_digest(self.recipe),
                "models": [source.digest for source in self.sources],
                "data": [extent_of(list(pool.rows)).digest for pool in self.pools],
                "settings": {
                    n: v for n, v in self.job.said.plain().items() if n not in ("steps", "patience", "keep", "together")
                },
            }
        )

    def course(self, on_event: Listener) -> tuple[Course, Progress]:
        """What learning needs, and where it begins."""
        job, operands = self.job, self.recipe.merge.models
        learnt, held = parted(self.pools, job.said.held_out, job.said.seed)
        objective = objective_of(job.card)
        course = Course(job.card, job.said, self.live, objective, learnt, len(operands), held, self.heads)
        progress = resumed(started(course, len(self.live.grouping)), job.out / WORK, self.key)
        if job.card.experts:
            on_event_started(on_event)
            folder = job.out / WORK / "experts"
            experts = answered(folder, self.pools, operands, hidden=hidden(course), load=job.load)
            course = replace(course, experts=replace(experts, heads=self.heads.heads))
        return course, progress


def on_event_started(on_event: Listener) -> None:
    """Say that the experts are being asked."""
    from solera.types import Event

    on_event(Event("started", "experts", "asking every expert about its task"))


def _claim(out: Path, *, force: bool) -> None:
    """The target must be empty, or hold a learning that was not finished; what is forced stays until it is replaced."""
    if force:
        shutil.rmtree(out / WORK, ignore_errors=True)
    elif out.exists() and any(place.name != WORK for place in out.iterdir()):
        raise TargetInUse("The target is not empty.", where=out, fix="choose a new folder, or --force")


def _references(recipe: Recipe, *, asked: bool) -> list[ModelRef]:
    """The base, then the models; where experts are asked about data they must be models."""
    base = recipe.merge.base
    assert isinstance(base, ModelRef)
    named = [o for o in recipe.merge.models if asked or isinstance(o.model, ModelRef)]
    return [base, *(reference(operand) for operand in named)]


def _source(ref: ModelRef) -> Source:
    return Source(str(ref), digest_checkpoint(open_again(ref)).root)


def _kept(recipe: Recipe, matches: Sequence[Match]) -> Recipe:
    from solera.recipe.values import Rule

    rules = (*(Rule(match, method="copy") for match in matches), *recipe.merge.rules)
    return replace(recipe, merge=replace(recipe.merge, rules=rules))


def _live(job: Job, recipe: Recipe, model: nn.Module) -> Live:
    """The model with its weights as a merge of the recipe."""
    plan = make_plan(recipe, opener=open_again)
    vectors = Vectors.of(plan, job.memory, job.device)
    live = open_live(plan, model, vectors, lambda leaves: grouping_of(plan, job.said.granularity, leaves), whole)
    if job.recompute:
        recompute(model)
    return live


def whole(task: LeafTask, group: int) -> tuple[Span, ...]:
    """A leaf in one piece."""
    return (Span(0, task.numel, group),)


def recompute(model: nn.Module) -> None:
    """Have activations of layers computed again backwards; dropout stays off.

    Raises:
        PlanError: the model cannot do that.
    """
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise PlanError(
            "This model cannot compute activations again.", got=type(model).__name__, fix="leave --recompute out"
        )
    enable: Callable[..., None] = model.gradient_checkpointing_enable  # type: ignore[assignment]
    enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for module in model.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True


def _finish(learner: _Learner, course: Course, progress: Progress, seconds: float) -> Result:
    """Recipe and artefact of the coefficients that are kept."""
    said = learner.job.said
    best = said.keep == "best" and progress.best is not None
    raw = progress.best if best and progress.best is not None else progress.raw
    rows = plain_rows(bounded(raw.detach(), said))
    recipe = with_weights(learner.recipe, learner.live.grouping.groups, rows)
    names = [group.name for group in learner.live.grouping.groups]
    learnt = Learnt(
        learner=learner.job.card.name,
        settings=said.plain(),
        base=learner.sources[0],
        models=learner.sources[1:],
        data=tuple(_data(pool, learner.sources) for pool in learner.pools),
        coefficients=dict(zip(names, map(tuple, rows), strict=True)),
        losses=tuple(progress.losses),
        checks=tuple(progress.checks),
        chosen=progress.chosen if best else progress.step,
        stopped=progress.stopped,
        seconds=round(seconds, 3),
        memory=_memory(course.live),
    )
    return results.write(learner.job.out, recipe, learnt)


def plain_rows(coefficients: Tensor) -> list[list[float]]:
    """Coefficients as plain numbers that are the same in float32."""
    return [[shortest(value) for value in row] for row in coefficients.tolist()]


def _data(pool: Pool, sources: Sequence[Source]) -> Data:
    extent = extent_of(list(pool.rows))
    expert = sources[1 + pool.expert].model if 1 + pool.expert < len(sources) else ""
    return Data(pool.name, extent.digest, extent.samples, extent.tokens, expert)


def _memory(live: Live) -> dict[str, int]:
    """Bytes of vectors held, of vectors read anew at every step, of the merged weights; the process's peak."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"held": live.vectors.nbytes, "streamed": live.vectors.streamed, "merged": live.nbytes, "peak": peak}
