"""What is measured in which pass over the data, so that all sums of a pass fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from solera.errors import BadParameter
from solera.learn.statistics.inputs import Task

DEFAULT_MEMORY = 4 << 30


@dataclass(frozen=True, slots=True)
class Weight:
    """One kind of Fisher information of one live parameter."""

    kind: str
    parameter: str
    elements: int

    @property
    def nbytes(self) -> int:
        """Bytes of the state: float64 over all, float32 over some batches."""
        return 12 * self.elements


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the data: inputs and weights that are measured in it, and whether routers and layers are."""

    inputs: tuple[Task, ...]
    weights: tuple[Weight, ...]
    routers: bool = False
    layers: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of all sums."""
        return sum(task.nbytes for task in self.inputs) + sum(weight.nbytes for weight in self.weights)


def passes_for(inputs: Iterable[Task], weights: Iterable[Weight], memory: int, *, routers: bool) -> tuple[Pass, ...]:
    """Deal out work in order, as much to a pass as its half of the memory holds; the other half is for activations.

    Raises:
        BadParameter: one sum alone does not fit.

    Example:
        >>> weights = [Weight("fisher", name, 100) for name in "abc"]
        >>> [[w.parameter for w in one.weights] for one in passes_for([], weights, 4800, routers=False)]
        [['a', 'b'], ['c']]
    """
    found: list[Pass] = []
    room = memory // 2
    items: Sequence[Task | Weight] = [*inputs, *weights]
    group: list[Task | Weight] = []
    for item in items:
        if item.nbytes > room:
            want = f"at least {2 * item.nbytes} bytes"
            raise BadParameter("The memory is too small for one of the sums.", got=f"{memory} bytes", want=want)
        if sum(each.nbytes for each in group) + item.nbytes > room:
            found.append(_pass(group, routers=routers and not found))
            group = []
        group.append(item)
    if group or (routers and not found):
        found.append(_pass(group, routers=routers and not found))
    return tuple(found)


def _pass(group: Sequence[Task | Weight], *, routers: bool) -> Pass:
    inputs = tuple(item for item in group if isinstance(item, Task))
    return Pass(inputs, tuple(item for item in group if isinstance(item, Weight)), routers)


def with_layers(passes: tuple[Pass, ...]) -> tuple[Pass, ...]:
    """Look at whole layers in the first pass, or in one of their own where there is no other.

    Example:
        >>> with_layers(())[0].layers
        True
    """
    first = passes[0] if passes else Pass((), ())
    return (replace(first, layers=True), *passes[1:])


def described(passes: Sequence[Pass]) -> str:
    """The plan in words.

    Example:
        >>> described((Pass((), (Weight("fisher", "a", 1 << 20),)),))
        '1 pass over the data, sums of 12 MiB at most'
    """
    noun = "pass" if len(passes) == 1 else "passes"
    most = max((one.nbytes for one in passes), default=0)
    return f"{len(passes)} {noun} over the data, sums of {-(-most // (1 << 20))} MiB at most"
