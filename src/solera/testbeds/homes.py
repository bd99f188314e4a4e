"""Where each testbed lives: modules that are imported only when they are asked for."""

from __future__ import annotations

from importlib import import_module

from solera.errors import BadParameter, MissingExtra, UnknownName, nearest
from solera.testbeds.contract import Testbed

_MODULES = {
    "vision-8": "solera.testbeds.vision",
    "text-6": "solera.testbeds.language.text",
    "lm-6": "solera.testbeds.language.lm",
    "moe-8": "solera.testbeds.language.moe",
    "seeds-4": "solera.testbeds.seeds",
}
"""Name -> module with an attribute `TESTBED`."""


def names() -> tuple[str, ...]:
    """All testbeds, by name. Imports none of them.

    Example:
        >>> names()[0]
        'vision-8'
    """
    return tuple(_MODULES)


def testbed(name: str) -> Testbed:
    """The testbed called `name`; after a colon, the source of its data: ``vision-8:fashion``, ``vision-8:FOLDER``.

    Raises:
        UnknownName: there is none, or no such source. BadParameter: it has one source only.
        NotFound, CorruptFile: the folder that the name holds cannot be used.
        MissingExtra: it needs a package that is not installed.

    Example:
        >>> testbed("vision-8").name, testbed("vision-8:digits").name, testbed("vision-8:fashion").name
        ('vision-8', 'vision-8', 'vision-8:fashion')
    """
    kind, with_source, source = str(name).partition(":")
    if kind not in _MODULES:
        raise UnknownName("no such testbed.", got=str(name)[:80], fix=nearest(kind[:80], _MODULES))
    try:
        found = import_module(_MODULES[kind]).TESTBED
    except ImportError as error:
        raise missing(error, f"the testbed {kind}") from None
    assert isinstance(found, Testbed)
    if not with_source:
        return found
    if found.of is None:
        raise BadParameter(f"{kind} has one source of data only.", got=str(name)[:80], want=kind)
    return found.of(source)


def kind_of(name: str) -> str:
    """The name of a testbed without the source of its data.

    Example:
        >>> kind_of("vision-8:fashion")
        'vision-8'
    """
    return name.partition(":")[0]


def name_in(folder: str) -> str:
    """The testbed that the name of a folder in the cache begins with: there, a dash stands for the colon.

    Example:
        >>> name_in("vision-8-fashion"), name_in("vision-8")
        ('vision-8:fashion', 'vision-8')
    """
    kind = next((kind for kind in _MODULES if folder.startswith(f"{kind}-")), None)
    return folder if kind is None else f"{kind}:{folder[len(kind) + 1 :]}"


def missing(error: ImportError, needed_for: str) -> Exception:
    """What to raise for an import that failed: the extra to install, or the error itself where the fault is ours."""
    ours = not isinstance(error, ModuleNotFoundError) or (error.name or "").split(".")[0] == "solera"
    return error if ours else MissingExtra("testbeds", needed_for=needed_for)
