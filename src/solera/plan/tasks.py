"""The plan as values: expressions over sources, one task per output leaf, output tensors, and the plan itself.

Everything here is plain data, so a plan can be printed, compared, priced and carried to another machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

from solera.checkpoints.contract import Source
from solera.recipe.values import Recipe
from solera.types import DType

if TYPE_CHECKING:
    from solera.plan.budget_values import BudgetPlan
    from solera.plan.mapping import MapCount

Status = Literal["merged", "copied", "filled"]


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A leaf of a model as it is: `offset` elements into `source`, with the leaf's own shape.

    `model` and `name` say in messages where the bytes come from. `cast` rounds the values to a type before anything
    is computed (mergekit's `dtype`).
    """

    source: Source
    shape: tuple[int, ...]
    model: str
    name: str
    offset: int = 0
    cast: DType | None = None

    @property
    def natural(self) -> DType:
        """Type in which the leaf is written when nothing else is asked."""
        return self.source.natural

    def is_stored_as(self, dtype: DType) -> bool:
        """Whether the file's own bytes are the leaf in that type."""
        return self.source.spec.dtype is dtype and self.cast in (None, dtype)

    @property
    def numel(self) -> int:
        """Elements in the leaf."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Kin:
    """Models whose files are laid out alike: labels, stable ids for draws, and tables, all in the operands' order."""

    labels: tuple[str, ...]
    ids: tuple[str, ...]
    tables: tuple[Mapping[str, Source], ...] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Twins(Sequence["Read"]):
    """One leaf of several models whose files are laid out alike: the reads are made when asked for.

    `like` is the read of a model of the same layout, which need not be among them. So a plan grows with the number of
    tensors, and not with the number of models.
    """

    like: Read
    kin: Kin

    def __len__(self) -> int:
        """Number of models."""
        return len(self.kin.tables)

    @overload
    def __getitem__(self, k: int) -> Read: ...

    @overload
    def __getitem__(self, k: slice) -> tuple[Read, ...]: ...

    def __getitem__(self, k: int | slice) -> Read | tuple[Read, ...]:
        """The read of the k-th model."""
        if isinstance(k, slice):
            return tuple(self[i] for i in range(*k.indices(len(self))))
        like, source = self.like, self.kin.tables[k][self.like.name]
        return Read(source, like.shape, self.kin.labels[k], like.name, like.offset, like.cast)


@dataclass(frozen=True, slots=True)
class Call:
    """A method with all its parameters bound: what a chain is built from.

    `parameters` is sorted; per-model values are tuples. Equal calls share one chain, and one population.
    `method` "steps" is the chain of `steps`, bound like methods; `wrap` goes around, the first innermost.
    """

    method: str
    parameters: tuple[tuple[str, Any], ...] = ()
    variant: str | None = None
    steps: tuple[Call, ...] = ()
    wrap: tuple[Call, ...] = ()

    @property
    def title(self) -> str:
        """What is called, in words."""
        inner = " + ".join(step.method for step in self.steps) or self.method
        return " of ".join([*(wrapper.method for wrapper in reversed(self.wrap)), inner])


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A statistic of a leaf as steps find it under `name`: one read per model, or one of the base.

    `sliced`: cut like the leaf; otherwise read whole, when a step asks for it.
    """

    name: str
    reads: tuple[Read, ...]
    sliced: bool


@dataclass(frozen=True, slots=True, eq=False)
class LeafTask:
    """Make one leaf: a method applied to operands, in delta space where `delta` is set.

    `node` names the merge node; with `call` it names the population. `models` are stable ids for draws. `compute` is
    the type of the arithmetic. `layers` counts the layers of the stack that `layer` is in. `measured`: statistics.
    """

    node: str
    leaf: str
    shape: tuple[int, ...]
    call: Call
    operands: Sequence[Expr]
    models: tuple[str, ...]
    base: Expr | None = None
    delta: bool = False
    seed: int = 0
    role: str = ""
    layer: int | None = None
    out_axis: int = 0
    in_axis: int = -1
    compute: DType = DType.F32
    layers: int | None = None
    measured: tuple[Measured, ...] = ()

    @property
    def numel(self) -> int:
        """Elements in the leaf."""
        return math.prod(self.shape)

    @property
    def natural(self) -> DType:
        """Type of the base, else of the first operand."""
        return (self.base or self.operands[0]).natural

    @property
    def population(self) -> tuple[str, Call]:
        """Key of the population that whole-model summaries are taken over: the node, and all that they depend on."""
        from solera.plan.chains import summarised

        return (self.node, summarised(self.call))

    def children(self) -> tuple[LeafTask, ...]:
        """Nested tasks among the operands and the base."""
        parts = (self.base,) if isinstance(self.operands, Twins) else (*self.operands, self.base)
        return tuple([part for part in parts if isinstance(part, LeafTask)])


Expr = Read | LeafTask


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A leaf inside an output tensor: where it starts (in elements) and how it is made."""

    start: int
    expr: Expr
    leaf: str
    status: Status
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class OutputTensor:
    """One tensor of the output files; its parts cover it without gaps, in order."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    parts: tuple[Part, ...]

    @property
    def numel(self) -> int:
        """Elements in the tensor."""
        return math.prod(self.shape)

    @property
    def status(self) -> Status:
        """Merged when any part is."""
        kinds = {p.status for p in self.parts}
        return "merged" if "merged" in kinds else self.parts[0].status


@dataclass(frozen=True, slots=True)
class PopulationStage:
    """A sweep over all tasks of a population that finishes one whole-model summary (step `step` of its chain)."""

    key: tuple[str, Call]
    step: int
    rounds: int
    tasks: tuple[LeafTask, ...] = field(repr=False)

    @property
    def step_name(self) -> str:
        """The step's name, for people; builds the chain."""
        from solera.plan.chains import chain_of

        return chain_of(self.tasks[0].call).steps[self.step].name


@dataclass(frozen=True, slots=True)
class Cost:
    """What the plan will take. Bytes are of files; memory is the predicted peak above an idle process."""

    read_bytes: int
    write_bytes: int
    passes: int
    memory_bytes: int
    held: str


@dataclass(frozen=True, slots=True)
class SidePlan:
    """What reconcile needs to know: config, layers, vocabulary, ties, and the models by role.

    `layers`: count key -> output layer count. `per_layer`: config list key -> the old layer of each new one; `leading`:
    the same for keys that count first layers. `vocabulary`: the output's (None: as the layout model's). `vocab_rows`:
    embedding rows, where they changed. `tied`: None leaves the flag alone.
    """

    layout: Any
    layers: Mapping[str, int] = field(default_factory=dict)
    per_layer: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    leading: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    vocabulary: Any = None
    vocab_rows: int | None = None
    tied: bool | None = None
    tie_keys: tuple[str, ...] = ()
    patch: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A merge, ready to run: stages in order, then one write pass over `outputs`.

    `models` maps a label to an opened checkpoint; `provenance` has a row for every input tensor that is not merged.
    """

    recipe: Recipe
    outputs: tuple[OutputTensor, ...]
    stages: tuple[PopulationStage, ...]
    models: Mapping[str, Any]
    side: SidePlan
    cost: Cost
    digest: str
    warnings: tuple[str, ...] = ()
    provenance: tuple[tuple[str, str, str, str], ...] = ()
    maps: tuple[MapCount, ...] = ()
    budget: BudgetPlan | None = None

    def explain(self) -> str:
        """The plan as text: passes, bytes, memory, stages, warnings."""
        from solera.plan.explain import explain

        return explain(self)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain data."""
        from solera.plan.explain import as_json

        return as_json(self)
