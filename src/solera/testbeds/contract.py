"""A testbed: a base, experts and the tasks that they are judged on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from solera.evaluate.contract import Split, Task
from solera.types import Event

Size = Literal["tiny", "small", "full"]
"""tiny: seconds, for tests, no quality gate. small: minutes on two cores. full: a GPU, or hours."""


@dataclass(frozen=True, slots=True)
class Built:
    """A testbed on disk, finished and checked against its digests.

    Attributes:
        folder: holds everything, in ordinary Hugging Face folders.
        base: the folder that every expert was fine-tuned from.
        experts: expert -> full model folder. adapters: expert -> PEFT folder on the base.
        extras: other checkpoints by name: trajectories, narrow layers, other seeds.
        facts: what the builder measured: gates, ceilings, cosines, times; plain JSON data.
        digest: over all weights and data, equal whenever the same testbed is built from the same seed.
    """

    name: str
    size: Size
    seed: int
    folder: Path
    base: Path
    experts: Mapping[str, Path]
    digest: str
    adapters: Mapping[str, Path] = field(default_factory=dict)
    extras: Mapping[str, Path] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Testbed:
    """A kind of testbed: how to build it, load its models and score them.

    Attributes:
        make: (empty folder, size, seed, listener) -> None. Writes the testbed and ends with `making.declare`; called
            again on a folder that an interrupted call left, it goes on (`stages.run` sees to that).
        load: model folder -> `torch.nn.Module` in eval mode, ready for the tasks' `measure`.
        tasks: (finished testbed, split) -> tasks, always in the same order.
        about: one sentence for lists. minutes: rough build time by size, on two cores.
        version: raised whenever the same seed would give other bytes; older ones in the cache are then built anew.
        nbytes: rough bytes on disk by size, asked for before a build starts.
        family: whether its experts are fine-tunes of its base, so that methods can be compared on them.
        settings: size -> what it stands for, where the options of stages name the size alone; its `repr` tells whether
            stages that an interrupted build left may be used.
        of: source -> the same testbed made of other data, called ``NAME:SOURCE``; None: there is one source.
        written: the same tasks scored by what a model writes by itself; None where models write nothing.
    """

    name: str
    about: str
    make: Callable[[Path, Size, int, Callable[[Event], None]], None]
    load: Callable[[Path], Any]
    tasks: Callable[[Built, Split], tuple[Task, ...]]
    minutes: Mapping[Size, float] = field(default_factory=dict)
    version: int = 1
    nbytes: Mapping[Size, int] = field(default_factory=dict)
    family: bool = True
    settings: Callable[[Size], object] | None = None
    of: Callable[[str], Testbed] | None = None
    written: Callable[[Built, Split], tuple[Task, ...]] | None = None

    __test__ = False
