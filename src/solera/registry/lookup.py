"""Find methods by name and build their chains; nothing heavy is imported before a chain is asked for."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solera.errors import NotFound, SoleraError, UnknownName, nearest
from solera.registry.card import Card
from solera.registry.samples import sample_values
from solera.registry.steps import STEPS
from solera.registry.stored import stored_cards
from solera.registry.table import REGISTERED, Entry, Maker, made
from solera.registry.values import preset
from solera.types import SchemaOf

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from solera.ops.contract import Chain

GROUP = "solera.methods"
"""The entry-point group that other packages use; the value is "module:attr"."""

_PLUGINS: dict[str, str] = {}


def plugins(of: Iterable[str] | None = None) -> Mapping[str, str]:
    """Path -> SHA-256 of the text, of the plugin files that this process has run.

    Args:
        of: names of methods and steps: only the files that registered one of them.
    """
    if of is None:
        return dict(_PLUGINS)
    wanted = {*of}
    modules = {target.partition(":")[0] for name, target in _targets() if name in wanted}
    return {path: digest for path, digest in _PLUGINS.items() if _module(Path(path)) in modules}


def cards() -> dict[str, Card]:
    """Name -> card of every method known: built-in, of installed packages, and registered in this process.

    Built-in cards are read from a file, so this imports no torch unless an installed package does.
    An installed package that cannot be loaded is left out with a warning.

    Example:
        >>> all(name == card.name for name, card in cards().items())
        True
    """
    for name, point in _entry_points().items():
        try:
            _load_entry_point(name, point)
        except Exception as error:  # noqa: BLE001 - a stranger's broken package must not hide the other methods
            warnings.warn(f"method `{name}` of {point.value} cannot be loaded: {error}", stacklevel=2)
    names = sorted({*stored_cards(), *REGISTERED})
    return {name: card(name) for name in names}


def card(name: str) -> Card:
    """The card of one method.

    Raises:
        UnknownName: no such method; the fix names the nearest.

    Example:
        >>> try:
        ...     card("no such method")
        ... except UnknownName as error:
        ...     print(error.fault.what)
        There is no method `no such method`.
    """
    stored = stored_cards().get(name)
    entry = REGISTERED.get(name)
    if stored is not None and (entry is None or entry.card.target == stored.target):
        return stored
    return counted(_entry(name))


def build(name: str, parameters: Mapping[str, Any] | None = None, *, variant: str | None = None) -> Chain:
    """Make the chain of a method: defaults, then the variant's preset, then `parameters`.

    Args:
        name: a registered method.
        parameters: plain values by name; a per-model one may be one value, or a tuple with a value per model.
        variant: a preset's name; ``paper`` is the defaults.

    Raises:
        UnknownName: no such method or variant.
        BadParameter: a value is out of range, of the wrong type, missing, or of no parameter.
    """
    entry = _entry(name)
    return made(entry.card, entry.make, {**preset(entry.card, variant), **(parameters or {})})


def maker(name: str) -> Maker:
    """The function that makes a method's chain; another one after a notebook's cell is run again.

    Raises:
        UnknownName: no such method.
    """
    return _entry(name).make


def schema(name: str) -> SchemaOf | None:
    """How a method's output differs from its inputs; None when it does not.

    Raises:
        UnknownName: no such method.
    """
    return _entry(name).schema if card(name).has_schema else None


def load_plugin(path: str | Path) -> tuple[str, ...]:
    """Run a Python file that registers methods or steps; returns their names. Only for a file that the user named.

    Raises:
        NotFound: no such file.
        SoleraError: the file fails, or registers nothing.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise NotFound("There is no such plugin file.", where=path)
    module, digest = _module(file), hashlib.sha256(file.read_bytes()).hexdigest()
    _run_file(module, file)
    names = tuple(sorted(name for name, target in _targets() if target.startswith(f"{module}:")))
    if not names:
        raise SoleraError("The plugin registers no method.", where=path, fix="decorate a function with @solera.method")
    _PLUGINS[str(file)] = digest
    return names


def _module(file: Path) -> str:
    """The name under which a plugin file is imported."""
    return f"solera_plugin_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"


def _targets() -> list[tuple[str, str]]:
    """Name and target of everything that is registered."""
    return [(name, entry.card.target) for table in (REGISTERED, STEPS) for name, entry in table.items()]


def counted(entry: Entry) -> Card:
    """The entry's card with its passes counted on the chain at default parameters."""
    chain = made(entry.card, entry.make, sample_values(entry.card))
    return replace(entry.card, passes=chain.passes)


def _run_file(module: str, file: Path) -> None:
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None or spec.loader is None:
        raise SoleraError("The plugin is no Python file.", where=file, want="a file that ends in .py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded  # annotations are resolved through it
    try:
        spec.loader.exec_module(loaded)
    except SoleraError:
        raise
    except Exception as error:
        raise SoleraError("The plugin fails when it is loaded.", where=file, got=repr(error)) from error


def _entry(name: str) -> Entry:
    """The registered entry, importing the module that registers it on a miss."""
    if name not in REGISTERED and name in stored_cards():
        importlib.import_module(stored_cards()[name].target.partition(":")[0])
    elif name not in REGISTERED and name in (points := _entry_points()):
        _load_entry_point(name, points[name])
    if name in REGISTERED:
        return REGISTERED[name]
    if name in stored_cards():
        raise SoleraError(
            f"Method `{name}` is listed but its module does not register it.",
            where=stored_cards()[name].target,
            fix="run python -m solera.registry.generate",
        )
    known = {*stored_cards(), *REGISTERED, *_entry_points()}
    raise UnknownName(f"There is no method `{name}`.", fix=nearest(name, known))


def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


def _load_entry_point(name: str, point: EntryPoint) -> None:
    if name in REGISTERED:
        return
    point.load()
    if name not in REGISTERED:
        raise SoleraError(
            f"The package that offers method `{name}` registers no method of that name.", where=point.value
        )
