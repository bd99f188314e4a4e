"""The closed list of names that the pickle of a state dict may use, and what each of them means here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from solera.types import DType


class Storage(NamedTuple):
    """A flat buffer of the file; `dtype` None means bytes without a type. `numel` counts elements (or bytes)."""

    key: str
    dtype: DType | None
    numel: int


class StoredTensor(NamedTuple):
    """A tensor as a view of a storage: first element, sizes and strides, in elements of `dtype`."""

    storage: Storage
    dtype: DType
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """A name that a pickle may use, with what calling it means here (None: it is not called)."""

    name: str
    call: Callable[[tuple[Any, ...]], Any] | None = None
    dtype: DType | None = None


class Malformed(Exception):
    """The program does something that no writer of state dicts does; caught by `load_symbolic`."""


def require(condition: object, what: str) -> None:
    """Stop unless `condition` holds."""
    if not condition:
        raise Malformed(what)


def _is_sizes(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= 64 and all(is_size(size) for size in value)


def is_size(value: Any) -> bool:
    """Whether a value can be a size or an offset."""
    return type(value) is int and 0 <= value < 2**63


def _ordered_dict(args: tuple[Any, ...]) -> dict[Any, Any]:
    rows = args[0] if args else []
    require(len(args) <= 1 and isinstance(rows, list), "an ordered dictionary of something else")
    table: dict[Any, Any] = {}
    for row in rows:
        require(isinstance(row, list | tuple) and len(row) == 2, "a pair that is no pair")
        put(table, row[0], row[1])
    return table


def put(table: Any, key: Any, value: Any) -> None:
    """Set an entry of a dictionary, with a key that is cheap to hash."""
    require(type(table) is dict, "an entry set outside a dictionary")
    require(key is None or type(key) in (str, int, float, bool), "a key that is not plain")
    table[key] = value


def _tensor(args: tuple[Any, ...]) -> StoredTensor:
    require(len(args) >= 4, "a tensor with too few parts")
    storage, offset, shape, strides = args[:4]
    typed = isinstance(storage, Storage) and storage.dtype is not None
    require(typed and is_size(offset), "a tensor without a storage")
    return _checked(storage, storage.dtype, offset, shape, strides)


def _typed_tensor(args: tuple[Any, ...]) -> StoredTensor:
    """The newer form, for types without a storage class: the type comes seventh, storages are bytes."""
    require(len(args) >= 7 and isinstance(args[0], Storage) and isinstance(args[6], Name), "a tensor without a type")
    require(args[6].dtype is not None and is_size(args[1]), "a tensor without a type")
    return _checked(args[0], args[6].dtype, *args[1:4])


def _checked(storage: Storage, dtype: DType, offset: int, shape: Any, strides: Any) -> StoredTensor:
    require(_is_sizes(shape) and _is_sizes(strides) and len(shape) == len(strides), "sizes and strides that disagree")
    return StoredTensor(storage, dtype, offset, shape, strides)


def _parameter(args: tuple[Any, ...]) -> StoredTensor:
    require(args and isinstance(args[0], StoredTensor), "a parameter without a tensor")
    tensor: StoredTensor = args[0]
    return tensor


def _size(args: tuple[Any, ...]) -> tuple[int, ...]:
    require(len(args) == 1 and isinstance(args[0], tuple | list), "a size of something else")
    return tuple(args[0])


_STORAGES = {
    "DoubleStorage": DType.F64,
    "FloatStorage": DType.F32,
    "HalfStorage": DType.F16,
    "BFloat16Storage": DType.BF16,
    "LongStorage": DType.I64,
    "IntStorage": DType.I32,
    "ShortStorage": DType.I16,
    "CharStorage": DType.I8,
    "ByteStorage": DType.U8,
    "BoolStorage": DType.BOOL,
    "UntypedStorage": None,
}
ALLOWED = {
    name.name: name
    for name in [
        Name("collections OrderedDict", _ordered_dict),
        Name("torch._utils _rebuild_tensor", _tensor),
        Name("torch._utils _rebuild_tensor_v2", _tensor),
        Name("torch._utils _rebuild_tensor_v3", _typed_tensor),
        Name("torch._utils _rebuild_parameter", _parameter),
        Name("torch Size", _size),
        *(Name(f"torch {name}", dtype=dtype) for name, dtype in _STORAGES.items()),
        *(Name(f"torch.storage {name}", dtype=dtype) for name, dtype in _STORAGES.items()),
        *(Name(f"torch {dtype.torch_name}", dtype=dtype) for dtype in DType),
    ]
}
