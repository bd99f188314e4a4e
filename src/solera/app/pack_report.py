"""What was asked of a pack, and what the making of it did, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

METHODS: Mapping[str, str] = {
    "tall_mask": "the sum of all task vectors, and a bit for every entry and task",
    "emr": "one elected vector, and for every task a bit for each entry and a scale",
    "twin": "a shared expert, what each expert has beyond it in thin factors, and a router",
}
"""Methods of packs, and what they keep."""


class Examples(Protocol):
    """A batch of inputs of one task; `learn.statistics.Batch` is one. `answers`: the logits that answer, or None."""

    @property
    def inputs(self) -> Mapping[str, Tensor]:
        """By the names of the model's arguments."""
        ...

    @property
    def answers(self) -> slice | None:
        """Logits of the task."""
        ...


Lessons = Sequence[Sequence[Examples]]
"""Batches of every task, in the order of the experts; they are gone through more than once."""


@dataclass(frozen=True, slots=True)
class PackMake:
    """What to pack and how.

    Attributes:
        experts: models, in order; ``base+adapter`` is one. names: of their tasks; default the folders' names.
        base: that they were tuned from; `twin` does without where `shared` is a model.
        method: a key of `METHODS`. parameters: of the method. tall_mask: threshold. emr: mean. twin: rank, and those of
            the method that merges the shared expert.
        shared: for `twin`: a registered method, a recipe file, or a model.
        own: patterns of tensors that every task keeps whole.
        dtype: of vectors and factors; None is the type of each tensor of the base.
        layer, hidden, seed: of the router: whose hidden states it sees, its channels, its seed.
    """

    experts: tuple[str, ...]
    base: str | None = None
    method: str = "tall_mask"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    shared: str = "task_arithmetic"
    own: tuple[str, ...] = ()
    dtype: str | None = None
    layer: int = -1
    hidden: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PackReport:
    """The result of `pack_make`.

    Attributes:
        out: the pack's folder. sizes: bytes of base, shared part, every task, router, all together, the separate
            experts, and the share of those that the pack takes.
        tasks: name -> what its part is like: `taken` (share of entries) and `scale`, or `error` (share of the norm).
        router: examples and accuracy on held-out ones; {} where there is none. own: tensors that tasks keep whole.
        digest: of the index, and so of everything. written: false for a dry run, whose sizes are those foreseen.
    """

    out: Path
    method: str
    sizes: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, float]]
    router: Mapping[str, float]
    own: tuple[str, ...]
    seconds: float
    digest: str = ""
    warnings: tuple[str, ...] = ()
    written: bool = True

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {**asdict(self), "out": str(self.out)}
