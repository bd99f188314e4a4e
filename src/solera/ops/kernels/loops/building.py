"""Object code of a loop for arguments of certain types, which `ops.kernels.native` runs without numba."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from numba import njit, typeof

from solera.ops.kernels import loops
from solera.ops.kernels.loops import unrolled
from solera.ops.kernels.loops.numbers import OPTIONS

_DECLARED = re.compile(r'^declare .*?@"?([\w.$]+)"?\(', re.MULTILINE)


def loop(name: str) -> Any:
    """The loop of a name, as numba calls it."""
    return getattr(loops, name, None) or getattr(unrolled, name)


def built(name: str, arguments: Sequence[Any]) -> tuple[bytes, dict[str, Any]]:
    """A loop's object code for arguments like these, and what is to be known of it.

    Returns:
        The code; `symbol`, its function's name; `gives`, the type that it returns; `absent`, what only numba has, and
        only its own wrappers around the function call.
    """
    dispatcher = njit(**{**OPTIONS, "cache": False})(loop(name).py_func)
    signature = tuple(typeof(argument) for argument in arguments)
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    wanted = _DECLARED.findall(compiled.library.get_llvm_str())
    absent = sorted(symbol for symbol in wanted if symbol.startswith(("NRT_", "numba_")))
    known = {"symbol": compiled.fndesc.llvm_func_name, "gives": str(compiled.signature.return_type), "absent": absent}
    return compiled.library._get_compiled_object(), known  # noqa: SLF001 - numba's own cache is the other user
