"""The recipe as a value: what every dialect is lowered to, and all that the planner reads.

Both the native form and the mergekit dialect end here, so nothing downstream knows which text was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from solera.types import DType, ModelRef

Scalar = float | int | bool | str


@dataclass(frozen=True, slots=True)
class Gradient:
    """A value that changes linearly over the layers: points equally spaced over positions 0..1; booleans step."""

    points: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One entry of a conditional setting: the first whose `contains` is None, "*" or part of the tensor name wins."""

    contains: str | None
    value: Scalar | Gradient


@dataclass(frozen=True, slots=True)
class Cases:
    """A conditional setting; when no case matches, the next wider scope is asked."""

    cases: tuple[Case, ...]


Setting = Scalar | Gradient | Cases
Settings = Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Match:
    """Which tensors a rule speaks of; all given conditions must hold.

    `layers` is an inclusive range of output layer positions; `name` is a glob over leaf names.
    """

    role: tuple[str, ...] = ()
    layers: tuple[int, int] | None = None
    name: str | None = None
    module: str | None = None


@dataclass(frozen=True, slots=True)
class StepUse:
    """A step in a chain, or a wrapper around a method, with its own parameters.

    Rules, models and the merge's `parameters` speak of them too: `density`, or `trim.density` where only one step is
    meant (`trim-1.density`, `trim-2.density` where the chain has it twice). Wrappers are spoken of by the long name.
    """

    name: str
    parameters: Settings = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """Overrides for the tensors that match; later rules win, setting by setting.

    `method` replaces the method ("copy" keeps the base's tensor; or names any registered method; or "steps", and the
    chain is in `steps`); `model_parameters` is by model position in the node's list; `wrap` replaces the wrappers.
    """

    match: Match
    method: str | None = None
    parameters: Settings = field(default_factory=dict)
    model_parameters: Mapping[int, Settings] = field(default_factory=dict)
    steps: tuple[StepUse, ...] = ()
    wrap: tuple[StepUse, ...] | None = None


@dataclass(frozen=True, slots=True)
class LeafMap:
    """How a model of another architecture corresponds to the merge's target.

    `names`: source pattern -> target templates; `{n}` holds a layer's number, `*` anything. Empty: equal names.
    `layers`: "same"; "nearest", by place in the stack; or the source layer of every target layer.
    What is mapped to nothing keeps the target's values.
    """

    names: tuple[tuple[str, tuple[str, ...]], ...] = ()
    layers: Literal["same", "nearest"] | tuple[int, ...] = "same"


@dataclass(frozen=True, slots=True)
class Operand:
    """One model of a merge: a reference, or a merge of its own, with its own parameters.

    `layers` (slices only): half-open range of this model's layers that take part. `map`: for a model of another
    architecture than the target, which is the base or else the first model. `statistics`: what was measured on the
    model: kind -> file or folder; ``*`` is a folder that holds all kinds.
    """

    model: ModelRef | Merge
    parameters: Settings = field(default_factory=dict)
    layers: tuple[int, int] | None = None
    label: str = ""
    map: LeafMap | None = None
    statistics: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of output layers: sources of equal length, stacked after the slices before it."""

    sources: tuple[Operand, ...]
    base: Operand | None = None
    parameters: Settings = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Merge:
    """One node: a method over models, or over slices, or per module.

    Exactly one of `models`, `slices`, `modules` is filled. `base` is the base in the mathematics (task vectors are
    taken from it; slerp starts at it); it is not repeated in `models`. `where` is "file:line" for messages.
    `method` "steps" is a chain of its own, in `steps`. `wrap` goes around the method, the first of them innermost.
    `statistics`: what was measured on the base, as on operands.
    """

    method: str
    models: tuple[Operand, ...] = ()
    slices: tuple[Slice, ...] = ()
    modules: Mapping[str, Merge] = field(default_factory=dict)
    base: ModelRef | Merge | None = None
    parameters: Settings = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    variant: str | None = None
    name: str = ""
    where: str = ""
    steps: tuple[StepUse, ...] = ()
    wrap: tuple[StepUse, ...] = ()
    statistics: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The method in words: its name, or the names of the chain's steps."""
        return " + ".join(use.name for use in self.steps) if self.steps else self.method


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where one token's embedding row comes from: a model, zeros, or another token's row of a model.

    `force`: also for the models that have the token themselves.
    """

    kind: Literal["model", "zero", "model_token"]
    model: ModelRef | None = None
    token: str | None = None
    token_id: int | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class TokenizerSpec:
    """The output vocabulary: ``union``, ``base``, or a given model's; exceptions by token; padding."""

    source: Literal["union", "base"] | ModelRef = "base"
    tokens: Mapping[str, TokenSource] = field(default_factory=dict)
    pad_to_multiple_of: int | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """How the result is written.

    `dtype` None: the base's (or first model's) own types, tensor by tensor. `layout_from`: whose config, tokenizer and
    side files are the starting point (None: the base, else the first model). `layout`: "base" keeps that model's
    tensor layout; "leaves" writes unfused tensors.
    """

    dtype: DType | None = None
    shard_bytes: int = 5_000_000_000
    layout_from: ModelRef | None = None
    layout: Literal["base", "leaves"] = "base"
    copy_code: bool = False


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be read of the models other than the base.

    `nbytes`, or `share` of one reading of them; both None: no limit. `floor`: least share read of every layer, and of
    what lies outside the layers; `floors`: of single (first, last) layers. `sketches`: files or folders to look in.
    """

    nbytes: int | None = None
    share: float | None = None
    floor: float = 0.0
    floors: tuple[tuple[tuple[int, int], float], ...] = ()
    sketches: tuple[str, ...] = ()

    @property
    def is_unlimited(self) -> bool:
        """Whether everything may be read."""
        return self.nbytes is None and self.share is None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole recipe.

    Attributes:
        merge: the root node.
        tokenizer: None leaves the vocabulary as it is (shapes must then agree).
        chat_template: None copies; "auto", a known name, or template text.
        compute: float32 or float64 arithmetic; `compat_storage`: in the storage type, as mergekit does.
        nonfinite: "error" or "keep". population: "node" or "tensor", overrides what a population is.
        dialect: "solera" or "mergekit": quirks that change values live under the latter.
        budget: how much of the models other than the base may be read; None: all.
        text: the text as written; source: where it came from (file name) for messages.
    """

    merge: Merge
    tokenizer: TokenizerSpec | None = None
    chat_template: str | None = None
    output: Output = field(default_factory=Output)
    seed: int = 0
    compute: DType = DType.F32
    compat_storage: bool = False
    nonfinite: Literal["error", "keep"] = "error"
    dialect: Literal["solera", "mergekit"] = "solera"
    text: str = ""
    source: str = ""
    warnings: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    population: Literal["node", "tensor"] | None = None
    budget: Budget | None = None
