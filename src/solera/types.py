"""Plain values that every room speaks: dtypes, tensor specs, spaces, grains, models, events."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

CELL = 65_536
"""Elements in one reduction cell: sums are taken over cells of this size, so slicing cannot change them."""


class DType(StrEnum):
    """Element types, by their safetensors codes.

    Example:
        >>> DType.BF16.itemsize, DType.BF16.is_float, DType.parse("bfloat16")
        (2, True, <DType.BF16: 'BF16'>)
    """

    F64 = "F64"
    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    F8_E4M3 = "F8_E4M3"
    F8_E5M2 = "F8_E5M2"
    I64 = "I64"
    I32 = "I32"
    I16 = "I16"
    I8 = "I8"
    U64 = "U64"
    U32 = "U32"
    U16 = "U16"
    U8 = "U8"
    BOOL = "BOOL"

    @property
    def itemsize(self) -> int:
        """Bytes in one element."""
        return _ITEMSIZE[self]

    @property
    def is_float(self) -> bool:
        """Whether the type is a floating-point type (mergeable)."""
        return self in _FLOATS

    @property
    def torch_name(self) -> str:
        """The type's name in torch and in config files, such as ``bfloat16``."""
        return _TORCH_NAME[self]

    @classmethod
    def parse(cls, text: str) -> DType:
        """Read a safetensors code, a torch name (with or without ``torch.``), or a short form (bf16, fp32, half).

        Raises:
            ValueError: no such type.
        """
        key = text.removeprefix("torch.").lower()
        if key not in _BY_NAME:
            raise ValueError(text)
        return _BY_NAME[key]


_TORCH_NAME = {
    DType.F64: "float64",
    DType.F32: "float32",
    DType.F16: "float16",
    DType.BF16: "bfloat16",
    DType.F8_E4M3: "float8_e4m3fn",
    DType.F8_E5M2: "float8_e5m2",
    DType.I64: "int64",
    DType.I32: "int32",
    DType.I16: "int16",
    DType.I8: "int8",
    DType.U64: "uint64",
    DType.U32: "uint32",
    DType.U16: "uint16",
    DType.U8: "uint8",
    DType.BOOL: "bool",
}
_ITEMSIZE = {
    d: 1 if d in (DType.BOOL, DType.F8_E4M3, DType.F8_E5M2) else int("".join(filter(str.isdigit, d.value))) // 8
    for d in DType
}
_FLOATS = frozenset(d for d in DType if d.value[0] in "FB" and d is not DType.BOOL)
_BY_NAME = {
    **{name: d for d, name in _TORCH_NAME.items()},
    **{d.value.lower(): d for d in DType},
    "bf16": DType.BF16,
    "fp16": DType.F16,
    "half": DType.F16,
    "fp32": DType.F32,
    "float": DType.F32,
    "fp64": DType.F64,
    "double": DType.F64,
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor without its bytes: element type and shape.

    Example:
        >>> TensorSpec(DType.BF16, (2, 3)).nbytes
        12
    """

    dtype: DType
    shape: tuple[int, ...]

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.numel * self.dtype.itemsize


class Space(Enum):
    """Where a method works: on weights, on task vectors (model minus base), or on whichever the recipe gives."""

    WEIGHT = "weight"
    DELTA = "delta"
    EITHER = "either"  # delta when the recipe has a base, weight otherwise

    def __rshift__(self, other: Space) -> Signature:
        """``DELTA >> DELTA`` reads: takes task vectors, gives a task vector."""
        return Signature(self, other)


@dataclass(frozen=True, slots=True)
class Signature:
    """A method's space before and after."""

    takes: Space
    gives: Space

    def __str__(self) -> str:
        """Print as on a card."""
        return f"{self.takes.value} >> {self.gives.value}"


WEIGHT, DELTA, EITHER = Space.WEIGHT, Space.DELTA, Space.EITHER


class Grain(Enum):
    """The unit that a step must see whole, from fine to coarse.

    ELEMENT: any slice of the flattened tensor. ROWS: whole vectors along the last axis. TENSOR: the whole tensor.
    """

    ELEMENT = "element"
    ROWS = "rows"
    TENSOR = "tensor"

    @property
    def rank(self) -> int:
        """Order from fine (0) to coarse."""
        return list(Grain).index(self)


ELEMENT, ROWS, TENSOR = Grain.ELEMENT, Grain.ROWS, Grain.TENSOR


@dataclass(frozen=True, slots=True)
class Schema:
    """How a method's output differs from its layout model: leaves it leaves out, and what the config must say.

    `config` maps dotted keys to values; None removes a key.
    """

    drops: frozenset[str] = frozenset()
    config: Mapping[str, Any] = field(default_factory=dict)


SchemaOf = Callable[[Mapping[str, TensorSpec], Mapping[str, Any]], Schema]
"""(leaf name -> spec, config) of the layout model -> the output's schema; decided from headers alone."""


class Scope(Enum):
    """Over what a summary is taken: one tensor, or the population (all tensors routed to one node)."""

    TENSOR = "tensor"
    POPULATION = "population"


class NumericClass(StrEnum):
    """How far results may differ between machines: see the design's Numbers."""

    EXACT = "exact"
    SAME_BUILD = "same-build"
    TOLERANCE = "tolerance"


@dataclass(frozen=True, slots=True)
class LoraRef:
    """A PEFT adapter: folder or Hub id, revision, and an optional strength that multiplies its own scaling."""

    path: str
    revision: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as a recipe names it: folder, file or Hub id, revision, adapters applied in order.

    Example:
        >>> str(ModelRef("org/code", "v2", (LoraRef("org/lora"),)))
        'org/code@v2+org/lora'
    """

    path: str
    revision: str | None = None
    loras: tuple[LoraRef, ...] = ()
    subfolder: str | None = None

    def __str__(self) -> str:
        """The short form ``path@revision+lora``."""
        parts = [self.path + (f"@{self.revision}" if self.revision else "")]
        parts += [lora.path + (f"@{lora.revision}" if lora.revision else "") for lora in self.loras]
        return "+".join(parts)


@dataclass(frozen=True, slots=True)
class Event:
    """One happening of a run: ``started``, ``progress``, ``warning``, ``finished`` or ``cancelled``.

    `done` and `total` are in `unit` (bytes unless said). `data` is plain JSON data.
    """

    kind: str
    stage: str = ""
    message: str = ""
    done: int = 0
    total: int = 0
    unit: str = "bytes"
    data: Mapping[str, Any] = field(default_factory=dict)
