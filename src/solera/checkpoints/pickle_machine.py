"""The pickle inside a torch file, interpreted symbolically: no import, no call, no code.

A pickle is a program for a small stack machine. This one knows only the instructions that build plain data, and the
closed list of names of `torch_pickle`. Anything else stops it.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from solera.checkpoints.torch_pickle import ALLOWED, Malformed, Name, Storage, is_size, put, require
from solera.errors import CorruptFile, UnsafeFile

_MAX_STEPS = 4_000_000  # a state dict takes about 60 instructions for each tensor
_BROKEN = (
    *(Malformed, IndexError, KeyError, TypeError, ValueError),
    *(OverflowError, RecursionError, MemoryError),
)


def load_symbolic(stream: BinaryIO, where: str, storages: dict[str, Storage] | None = None) -> Any:
    """Run one pickle from `stream`: plain data in which tensors are `StoredTensor`.

    The stream is left behind the pickle; all storages met are put into `storages`. Cost: linear in the pickle's length.

    Raises:
        UnsafeFile: the pickle names something outside the closed list, or would run code. CorruptFile: it is broken.

    Example:
        >>> import io, pickle
        >>> load_symbolic(io.BytesIO(pickle.dumps({"a": [1, 2.5, None]})), "example")
        {'a': [1, 2.5, None]}
    """
    machine = _Machine(where, {} if storages is None else storages)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in old text instructions
            machine.run(stream)
        return machine.result()
    except _BROKEN as error:
        raise CorruptFile("The pickle in this file is broken.", where=where, got=str(error)[:200]) from None


class _Machine:
    """Stack, marks and memo of one running pickle."""

    def __init__(self, where: str, storages: dict[str, Storage]) -> None:
        self.where, self.storages = where, storages
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: BinaryIO) -> None:
        """Execute instructions up to the pickle's end."""
        for count, (opcode, arg, _) in enumerate(pickletools.genops(stream)):
            if count > _MAX_STEPS:
                want = f"{_MAX_STEPS} instructions"
                raise UnsafeFile("The pickle in this file is too long.", where=self.where, want=want)
            self.step(opcode.name, arg)

    def step(self, opcode: str, arg: Any) -> None:
        """Execute one instruction."""
        if opcode in _VALUES:
            self.stack.append(arg)
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode]())
        elif opcode in _ACTIONS:
            _ACTIONS[opcode](self, arg)
        elif opcode not in _IGNORED:
            raise _unsafe(self.where, f"the instruction {opcode}")

    def result(self) -> Any:
        """What the pickle leaves."""
        require(len(self.stack) == 1 and not self.marks, "it leaves something on the stack")
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop(self, _: Any) -> None:
        self.top(1)

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def top(self, count: int) -> tuple[Any, ...]:
        require(len(self.stack) >= count, "its stack is empty")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def set_items(self, pairs: list[Any]) -> None:
        require(len(pairs) % 2 == 0, "a key without a value")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            put(self.stack[-1], key, value)

    def extend(self, items: list[Any]) -> None:
        require(type(self.stack[-1]) is list, "an item appended outside a list")
        self.stack[-1].extend(items)

    def new_dict(self, _: Any) -> None:
        pairs = self.since_mark()
        self.stack.append({})
        self.set_items(pairs)

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def put(self, index: int) -> None:
        self.memo[int(index)] = self.stack[-1]

    def name(self, text: str) -> None:
        if text not in ALLOWED:
            raise _unsafe(self.where, text.replace(" ", ".")[:200])
        self.stack.append(ALLOWED[text])

    def stack_name(self, _: Any) -> None:
        module, attribute = self.top(2)
        require(type(module) is str and type(attribute) is str, "a name that is no text")
        self.name(f"{module} {attribute}")

    def reduce(self, _: Any) -> None:
        called, args = self.top(2)
        require(isinstance(called, Name) and called.call is not None and type(args) is tuple, "a call of plain data")
        self.stack.append(called.call(args))

    def build(self, _: Any) -> None:
        """Attributes of a dictionary (`_metadata` of a state dict) say nothing about weights."""
        self.pop(None)
        require(type(self.stack[-1]) is dict, "attributes set on something else than a dictionary")

    def persistent(self, _: Any) -> None:
        (parts,) = self.top(1)
        require(type(parts) is tuple and len(parts) in (5, 6) and parts[0] == "storage", "a storage of another kind")
        kind, key, numel = parts[1], parts[2], parts[4]
        require(isinstance(kind, Name) and kind.name.endswith("Storage"), "a storage without a type")
        require(type(key) is str and is_size(numel), "a storage without a size")
        require(len(parts) == 5 or parts[5] is None, "a storage that is a view of another")
        self.storages[key] = Storage(key, kind.dtype, numel)
        self.stack.append(self.storages[key])


_VALUES = frozenset(
    [
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    ]
)
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
}
_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})
_ACTIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": lambda m, _: m.since_mark().clear(),
    "DICT": _Machine.new_dict,
    "LIST": lambda m, _: m.push(m.since_mark()),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.push(m.top(1)),
    "TUPLE2": lambda m, _: m.push(m.top(2)),
    "TUPLE3": lambda m, _: m.push(m.top(3)),
    "APPEND": lambda m, _: m.extend(list(m.top(1))),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "SETITEM": lambda m, _: m.set_items(list(m.top(2))),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "GET": lambda m, i: m.push(m.memo[int(i)]),
    "BINGET": lambda m, i: m.push(m.memo[i]),
    "LONG_BINGET": lambda m, i: m.push(m.memo[i]),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}


def _unsafe(where: str, name: str) -> UnsafeFile:
    return UnsafeFile(
        "This pickle wants more than tensors, and was not run.",
        where=where,
        got=name,
        want="a state dict of plain tensors",
        fix="ask its author for safetensors, or save only its state_dict() with code that you trust",
    )
