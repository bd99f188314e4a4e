"""What coefficients are learnt by: the card of a learner, its settings, and what an objective is given.

A learner is a card and one function: `Objective`, from what the merged model says (and, where it asks for them, what
the experts say) of a batch to a loss. Merging, data, optimizer, stopping and resuming are the room's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from solera.errors import BadParameter, nearest
from solera.recipe.values import Match, StepUse

if TYPE_CHECKING:
    from torch import Tensor

    from solera.learn.statistics.contract import Batch

Granularity = Literal["task", "layer", "tensor"]
"""One coefficient per model; per model and layer; per model and tensor."""

Bounds = Literal["clamp", "sigmoid", "none"]
"""How a coefficient is kept in [0, 1]: cut off there, squeezed by a sigmoid, or not at all."""

Heads = Literal["merged", "own"]
Keep = Literal["last", "best"]


@dataclass(frozen=True, slots=True)
class Settings:
    """All numbers of one learning.

    Attributes:
        granularity: what has a coefficient of its own. init: where all of them start. bounds: see `Bounds`.
        steps: of the optimizer. rate: its learning rate. decay: decoupled weight decay. clip: norm at which gradients
            are cut, 0 never. restarts: steps of the first cosine, each later one twice as long; 0 keeps the rate.
        batch: examples in one forward pass. batches: forward passes of one step: for every task where `each_task`,
            else in all, tasks taken in turn.
        together: examples of all tasks in one forward pass at most, of one shape: the same numbers sooner.
        each_task: losses of a step are added over tasks and batches; else they are averaged.
        seed: of the order in which examples are drawn.
        heads: classifiers are merged like everything else, or every task has its expert's own, which nobody trains.
        patience: checks without a better loss after which learning stops; 0 never. every: steps between checks.
        tolerance: by how much better is better. held_out: share of the examples that is only checked on; 0 checks on
            the losses of the steps since the last check. keep: coefficients of the last step, or of the best check.
        options: numbers of the objective, by name.
    """

    granularity: Granularity = "tensor"
    init: float = 0.3
    bounds: Bounds = "clamp"
    steps: int = 500
    rate: float = 1e-3
    decay: float = 0.0
    clip: float = 0.0
    restarts: int = 0
    batch: int = 16
    batches: int = 2
    each_task: bool = True
    together: int = 64
    seed: int = 0
    heads: Heads = "merged"
    patience: int = 0
    every: int = 10
    tolerance: float = 0.0
    held_out: float = 0.0
    keep: Keep = "last"
    options: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing.

        Raises:
            BadParameter: a number is out of range.
        """
        for name, fine, want in _limits(self):
            if not fine:
                raise BadParameter(f"`{name}` is not usable.", got=getattr(self, name), want=want)

    def but(self, **changes: Any) -> Settings:
        """The settings with other values; names that are none of ours are options of the objective.

        Raises:
            BadParameter: the objective has no such option.

        Example:
            >>> Settings(options={"temperature": 1.0}).but(steps=5, temperature=2.0).options["temperature"]
            2.0
        """
        own = {f.name for f in fields(self)}
        other = {name: value for name, value in changes.items() if name not in own}
        for name in other:
            if name not in self.options:
                raise BadParameter(f"There is no setting `{name}`.", fix=nearest(name, [*own, *self.options]))
        mine = {name: value for name, value in changes.items() if name in own}
        return replace(self, **mine, options={**self.options, **other})

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "options": dict(self.options)}


def _limits(said: Settings) -> list[tuple[str, bool, str]]:
    low, high = (0.0, 1.0) if said.bounds != "none" else (float("-inf"), float("inf"))
    strictly = said.bounds == "sigmoid"
    words = {"granularity": Granularity, "bounds": Bounds, "heads": Heads, "keep": Keep}
    return [
        *((name, getattr(said, name) in get_args(kind), " or ".join(get_args(kind))) for name, kind in words.items()),
        ("init", low < said.init < high if strictly else low <= said.init <= high, "a number in [0, 1]"),
        ("steps", said.steps >= 1, "1 or more"),
        ("rate", 0 < said.rate < float("inf"), "a number above 0"),
        ("decay", said.decay >= 0, "0 or more"),
        ("clip", said.clip >= 0, "0 or more"),
        ("batch", said.batch >= 1, "1 or more"),
        ("batches", said.batches >= 1, "1 or more"),
        ("together", said.together >= 1, "1 or more"),
        ("every", said.every >= 1, "1 or more"),
        ("patience", said.patience >= 0, "0 or more"),
        ("held_out", 0 <= said.held_out < 1, "a share in [0, 1)"),
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model says of a batch.

    Shape: logits (batch, answers) or (batch, tokens, answers); real, which tokens are no padding, (batch, tokens) or
    None where all are; each of hidden (batch, tokens, channels).
    """

    logits: Tensor
    real: Tensor | None = None
    hidden: tuple[Tensor, ...] = ()


Objective = Callable[["Answer", "Answer | None", Mapping[str, float]], "Tensor"]
"""(what the merged model says, what the task's expert says, options) -> the loss of one batch."""


@dataclass(frozen=True, slots=True)
class LearnCard:
    """The facts of one learner.

    Attributes:
        name, summary, paper, code: as on a method's card. parity: what it was held to.
        target: "module:function" of its objective, imported when it is used.
        defaults: the paper's settings. experts: what experts say of the data is asked for.
        anchor: name of the option that weighs the distance of coefficients from where they started, or "".
        layers: name of the option that says whether hidden states are compared, or "".
        vectors: what is done to task vectors before they are weighed: steps of a recipe.
        frozen: what keeps the base's values, unless the user says otherwise.
        samples: examples of a task that are taken, where the user does not say.
        deviations: where it differs from paper or official code.
    """

    name: str
    summary: str
    paper: str
    code: str
    target: str
    defaults: Settings
    parity: str = ""
    experts: bool = False
    anchor: str = ""
    layers: str = ""
    vectors: tuple[StepUse, ...] = ()
    frozen: tuple[Match, ...] = ()
    samples: int = 1024
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """Unlabelled examples of one task: batches, how they are named, and which model of the recipe knows the task."""

    name: str
    batches: tuple[Batch, ...] = field(repr=False)
    expert: int
