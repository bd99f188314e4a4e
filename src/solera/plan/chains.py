"""How a call is computed: its chain of steps, its fused kernel, and the shape of the work, each made once per call.

The shape is taken from the kernel where there is one, so that planning an ordinary merge imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from solera import registry
from solera.checkpoints.ranges import FileRange
from solera.ops.kernels import FusedKernel, fused
from solera.plan.tasks import Call, LeafTask, Read, Twins
from solera.types import DType, Grain, Scope

if TYPE_CHECKING:
    from solera.ops.contract import Chain


@dataclass(frozen=True, slots=True)
class Need:
    """A summary that a step needs: the step's position, passes over the stream, what it is taken over."""

    step: int
    rounds: int
    scope: Scope


@dataclass(frozen=True, slots=True)
class WorkShape:
    """What the planner and the engine must know of a call: the finest unit, and the summaries in order."""

    grain: Grain
    needs: tuple[Need, ...]

    @property
    def tensor_rounds(self) -> int:
        """Passes over a leaf for the summaries that are taken over it."""
        return sum(need.rounds for need in self.needs if need.scope is Scope.TENSOR)


def chain_of(call: Call) -> Chain:
    """The chain of a call; equal calls share it. Imports torch.

    Raises:
        BadParameter: a bound value is out of range.
    """
    return _chain(call, _makers(call))


Makers = tuple[Callable[..., Any], ...]


def _makers(call: Call) -> Makers:
    """The functions that make the chain: of the method or its steps, and of what is around."""
    inner = [registry.step_maker(step.method) for step in call.steps] or [registry.maker(call.method)]
    return (*inner, *(registry.step_maker(wrapper.method) for wrapper in call.wrap))


@lru_cache(maxsize=4096)
def _chain(call: Call, makers: Makers) -> Chain:
    """Built once per call and makers: a method that is defined anew must not be served from before."""
    del makers
    if call.steps:
        inner = registry.compose(_parts(call.steps))
    else:
        inner = registry.build(call.method, dict(call.parameters), variant=call.variant)
    return registry.wrapped(inner, _parts(call.wrap)) if call.wrap else inner


def _parts(calls: tuple[Call, ...]) -> list[tuple[str, dict[str, Any]]]:
    return [(call.method, dict(call.parameters)) for call in calls]


@lru_cache(maxsize=4096)
def summarised(call: Call) -> Call:
    """The part of a call that its whole-model summaries depend on: of a chain of steps, those up to the last with one.

    Steps after it may differ from tensor to tensor, as learnt coefficients do, and the population stays one.

    Example:
        >>> steps = (Call("trim", (("density", 0.5),)), Call("weigh", (("weight", 0.3),)), Call("add_models"))
        >>> [step.method for step in summarised(Call("steps", steps=steps)).steps]
        ['trim']
    """
    if not call.steps or call.wrap:
        return call
    kept = list(call.steps)
    while kept and not _sums_up(kept[-1]):
        kept.pop()
    return replace(call, steps=tuple(kept)) if kept else call


def _sums_up(step: Call) -> bool:
    """Whether a step takes a whole-model summary, or changes the one before it."""
    if registry.step_card(step.method).role == "around":
        return True
    from solera.ops.contract import chain
    from solera.registry.steps import make_step

    made = chain(make_step(step.method, dict(step.parameters)))
    return any(one.summary is not None and one.summary.scope is Scope.POPULATION for one in made.steps)


@lru_cache(maxsize=4096)
def takes_weights(call: Call) -> bool:
    """Whether a call works on weights even where the recipe has a base."""
    if call.steps:
        inner = registry.composed_card([registry.step_card(step.method) for step in call.steps])
    else:
        inner = registry.card(call.method)
    return inner.space.startswith("weight")


@lru_cache(maxsize=4096)
def statistics_of(call: Call) -> tuple[str, ...]:
    """What must have been measured for a call: of its method or steps, and of what is around."""
    named = (*call.steps, *call.wrap)
    own = () if call.steps else registry.card(call.method).statistics
    around = (name for each in named for name in registry.step_card(each.method).statistics)
    return tuple(dict.fromkeys((*own, *around)))


@lru_cache(maxsize=4096)
def kernel_of(call: Call, models: int, *, delta: bool) -> FusedKernel | None:
    """The fused kernel of a call with its variant's preset filled in; None where there is none, or no compiler."""
    if call.steps or call.wrap or find_spec("numba") is None:
        return None
    preset = registry.card(call.method).variants.get(call.variant or "", {})
    return fused(call.method, {**preset, **dict(call.parameters)}, models, delta=delta)


def is_short(task: LeafTask) -> bool:
    """Whether a task can go from file to file through a fused kernel: plain ranges in, float32 arithmetic."""
    operands = task.operands[:1] if isinstance(task.operands, Twins) else task.operands
    parts = (*(() if task.base is None else (task.base,)), *operands)
    plain = all(isinstance(p, Read) and isinstance(p.source, FileRange) and p.cast is None for p in parts)
    return (
        plain and task.compute is DType.F32 and kernel_of(task.call, len(task.operands), delta=task.delta) is not None
    )


def work_of(task: LeafTask) -> WorkShape:
    """The shape of a task's work."""
    work = _kernel_work(task.call, len(task.operands), delta=task.delta)
    return work or _chain_work(task.call, _makers(task.call))


@lru_cache(maxsize=4096)
def _kernel_work(call: Call, models: int, *, delta: bool) -> WorkShape | None:
    kernel = kernel_of(call, models, delta=delta)
    if kernel is None:
        return None
    return WorkShape(kernel.grain, tuple(Need(p.step, p.rounds, p.scope) for p in kernel.passes))


@lru_cache(maxsize=4096)
def _chain_work(call: Call, makers: Makers) -> WorkShape:
    chain = _chain(call, makers)
    needs = (Need(i, s.summary.rounds, s.summary.scope) for i, s in enumerate(chain.steps) if s.summary is not None)
    return WorkShape(chain.grain, tuple(needs))
