"""Object code of a loop for arguments of certain types, which `ops.kernels.native` runs without numba."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, typeof

from solera.ops.kernels import loops
from solera.ops.kernels.loops import unrolled
from solera.ops.kernels.loops.numbers import OPTIONS
from solera.ops.kernels.native import ENTRY

_DECLARED = re.compile(r'^declare .*?@"?([\w.$]+)"?\(', re.MULTILINE)
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def loop(name: str) -> Any:
    """The loop of a name, as numba calls it."""
    return getattr(loops, name, None) or getattr(unrolled, name)


def built(name: str, arguments: Sequence[Any]) -> tuple[bytes, dict[str, Any]]:
    """A loop's object code for arguments like these, and what is to be known of it.

    Returns:
        The code, the loop's and its entry's one after the other; `size`, bytes of the first; `absent`, names of what
        only numba has, which only its own wrappers around the function call.
    """
    dispatcher = njit(**{**OPTIONS, "cache": False})(loop(name).py_func)
    signature = tuple(typeof(argument) for argument in arguments)
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    wanted = _DECLARED.findall(compiled.library.get_llvm_str())
    code = compiled.library._get_compiled_object()  # noqa: SLF001 - numba's own cache is the other user
    entry = entry_of(compiled.fndesc.llvm_func_name, kinds(arguments))
    absent = sorted(symbol for symbol in wanted if symbol.startswith(("NRT_", "numba_")))
    return code + entry, {"size": len(code), "absent": absent}


def kinds(arguments: Sequence[Any]) -> list[Any]:
    """The machine's types of the fields of arguments, as `native.fields` orders them."""
    found: list[Any] = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            found += [_I64] * (5 + 2 * argument.ndim)
        elif isinstance(argument, tuple):
            found += kinds(argument)
        else:
            real, flag = isinstance(argument, np.float32), isinstance(argument, bool)
            found.append(ir.FloatType() if real else _I8 if flag else _I64)
    return found


def entry_of(symbol: str, types: Sequence[Any]) -> bytes:
    """Object code of a function that takes a table's words to a loop."""
    module = ir.Module()
    called = ir.Function(module, ir.FunctionType(_I32, [_I64, _I64, *types]), symbol)
    entry = ir.Function(module, ir.FunctionType(_I32, [_I64]), ENTRY)
    builder = ir.IRBuilder(entry.append_basic_block())
    table = entry.args[0]
    words = [_word(builder, builder.add(table, _I64(8 * place)), kind) for place, kind in enumerate(types, 2)]
    builder.ret(builder.call(called, [table, builder.add(table, _I64(8)), *words]))
    parsed = binding.parse_assembly(str(module))
    machine = binding.Target.from_default_triple().create_target_machine(jit=True, codemodel="jitdefault")
    return bytes(machine.emit_object(parsed))


def _word(builder: Any, address: Any, kind: Any) -> Any:
    """A table's word as a field."""
    word = builder.load(builder.inttoptr(address, _I64.as_pointer()))
    if kind is _I64:
        return word
    if kind is _I8:
        return builder.trunc(word, _I8)
    return builder.bitcast(builder.trunc(word, _I32), kind)
