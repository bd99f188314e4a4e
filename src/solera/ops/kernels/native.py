"""The compiled loops as object code that is kept on disk: a process that finds it there runs it without numba.

Importing numba takes longer than a small merge. What numba made of a loop is an object file; llvmlite alone links it.
It is called through a table of 64-bit words: the result, a fault, and the fields that numba makes of arguments, of an
array its size, item size, place, shape and strides, after two references that are empty here; of a tuple its items.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from solera.folders import user_cache

LOOPS = Path(__file__).parent / "loops"
SUFFIX = ".loop"
ENTRY = "solera_loop"
"""The function of object code that takes the table."""

LINKED = count()
"""Numbers for what is linked: the linker wants each library to have a name of its own."""

_CALL = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)


class Given(tuple[Any, ...]):  # noqa: SLOT001 - what is worked out is kept in it
    """Arguments that are handed to loops again and again: what that takes is worked out once.

    Example:
        >>> given = Given((7, np.zeros(2)))
        >>> given.kind, len(given.fields)
        ('(int,<f8:1:C:w)', 8)
    """

    @cached_property
    def fields(self) -> tuple[Any, ...]:
        """See `fields`; the arrays must stay where they are."""
        return tuple(fields(tuple(self)))

    @cached_property
    def kind(self) -> str:
        """See `kind`."""
        return kind(tuple(self))


def fields(arguments: Sequence[Any]) -> list[Any]:
    """What a loop is handed for its arguments, as words of 64 bits.

    Example:
        >>> fields((7, (True, np.float32(0.5)))), hex(fields((np.float32(0.5),))[0])
        ([7, True, 1056964608], '0x3f000000')
        >>> array = np.zeros((2, 3), np.float32)
        >>> [word for word in fields((array,)) if word != array.ctypes.data]
        [0, 0, 6, 4, 2, 3, 12, 4]
    """
    words: list[Any] = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            words += (0, 0, argument.size, argument.itemsize, argument.ctypes.data, *argument.shape, *argument.strides)
        elif isinstance(argument, Given):
            words += argument.fields
        elif isinstance(argument, tuple):
            words += fields(argument)
        else:
            words.append(int(argument.view(np.int32)) if isinstance(argument, np.float32) else argument)
    return words


def kind(argument: Any) -> str:
    """What one code is made for: types, and of arrays whether they are contiguous and may be changed.

    Example:
        >>> kind((7, np.zeros((2, 3), np.float32)))
        '(int,<f4:2:C:w)'
    """
    if isinstance(argument, np.ndarray):
        flags = argument.flags
        order = "C" if flags.c_contiguous else "A"
        return f"{argument.dtype.str}:{argument.ndim}:{order}:{'w' if flags.writeable else 'r'}"
    if isinstance(argument, Given):
        return argument.kind
    if isinstance(argument, tuple):
        return f"({','.join(map(kind, argument))})"
    return type(argument).__name__


def plain(argument: Any) -> Any:
    """An argument as numba knows it."""
    return tuple(map(plain, argument)) if isinstance(argument, tuple) else argument


@dataclass(frozen=True, slots=True)
class Linked:
    """A loop in memory: called like the loop itself. `library` keeps its code alive."""

    function: Any
    library: Any

    def __call__(self, arguments: Sequence[Any]) -> int:
        """Run it; threads of Python go on meanwhile."""
        table = array("q", (0, 0, *fields(arguments)))
        if self.function(table.buffer_info()[0]) != 0:
            msg = "a loop raised, and none does"
            raise AssertionError(msg)
        return int(table[0])


@dataclass(slots=True)
class Loops:
    """All loops by name. `kept` is where their object code lies; those that are not there are built by numba once."""

    kept: Path
    known: dict[tuple[str, str], Any] = field(default_factory=dict)
    lock: Any = field(default_factory=Lock)

    def __call__(self, name: str, *arguments: Any) -> int:
        """Run a loop; bools come as 0 and 1."""
        key = name, kind(arguments)
        found = self.known.get(key)
        if found is None:
            with self.lock:
                found = self.known.get(key) or self.known.setdefault(key, self._found(*key, arguments))
        return int(found(arguments))

    def _found(self, name: str, kinds: str, arguments: Sequence[Any]) -> Any:
        """The loop from its file; else made, filed and linked; where that cannot be, as numba calls it."""
        path = self.kept / f"{name}-{hashlib.blake2b(kinds.encode(), digest_size=8).hexdigest()}-{state()}{SUFFIX}"
        linked = read(path)
        if linked is not None:
            return linked
        from solera.ops.kernels.loops import building

        file(path, *building.built(name, plain(arguments)))
        return read(path) or (lambda given: building.loop(name)(*plain(given)))


def kept_in() -> Path:
    """Where object code lies: beside the loops, as numba's own; where that is not writable, in the user's cache."""
    if os.access(LOOPS, os.W_OK):
        return LOOPS / "__pycache__"
    return user_cache() / "loops"


@cache
def state() -> str:
    """What object code depends on: the text of the loops, and the processor."""
    from llvmlite import binding

    texts = [path.read_bytes() for path in sorted(LOOPS.glob("*.py"))]
    machine = (binding.get_process_triple(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())
    return hashlib.blake2b(b"\0".join([" ".join(machine).encode(), *texts]), digest_size=8).hexdigest()


def file(path: Path, code: bytes, known: dict[str, Any]) -> None:
    """Keep object code, where that can be written: one line of JSON, then the code."""
    head = {**known, "digest": hashlib.blake2b(code, digest_size=16).hexdigest()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        new.write_bytes(json.dumps(head).encode() + b"\n" + code)
        new.replace(path)
    except OSError:
        return


def read(path: Path) -> Linked | None:
    """A loop from its file; None where there is none, or it is damaged or cannot be linked."""
    try:
        head, code = path.read_bytes().split(b"\n", 1)
        known = json.loads(head)
        if hashlib.blake2b(code, digest_size=16).hexdigest() != known["digest"]:
            return None
        return link(code, known)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, ImportError, AttributeError):
        return None


def link(code: bytes, known: dict[str, Any]) -> Linked:
    """Object code, the loop's and that of its entry, as a function."""
    from llvmlite import binding

    builder = binding.JITLibraryBuilder().add_current_process()
    builder = builder.add_object_img(code[: known["size"]]).add_object_img(code[known["size"] :])
    never = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
    for symbol in known["absent"]:
        builder = builder.import_symbol(symbol, never)
    library = builder.export_symbol(ENTRY).link(linker(), f"loop {next(LINKED)}")
    return Linked(_CALL(library[ENTRY]), library)


@cache
def linker() -> Any:
    """The process's linker of object code."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    return binding.create_lljit_compiler(machine)
