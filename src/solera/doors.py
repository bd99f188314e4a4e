"""Two rooms share their name with a function of the public face: `solera.plan` and `solera.methods`.

Python binds a sub-package's name on its parent, so such a room must be callable itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_callable(name: str, function: Callable[..., Any]) -> None:
    """Let the module `name` be called as `function`.

    Example:
        >>> import types, sys
        >>> sys.modules["door"] = types.ModuleType("door")
        >>> make_callable("door", lambda x: x + 1)
        >>> sys.modules["door"](1)
        2
    """

    class Room(ModuleType):
        __doc__ = sys.modules[name].__doc__

        def __call__(self, *args: Any, **options: Any) -> Any:
            return function(*args, **options)

    module = sys.modules[name]
    module.__class__ = Room
    module.__dict__["__wrapped__"] = function
