"""What a process has to work with: versions, plugins, methods. Two processes that differ in it do not work together."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from solera import registry
from solera.errors import SoleraError
from solera.plan.expressions import tasks_of
from solera.plan.tasks import Call, Plan
from solera.version import __version__

LIBRARIES = ("torch", "numpy", "numba")
BUILT_IN = "solera.methods."
"""How the targets of built-in methods begin; the version of solera answers for those."""
ABSENT, UNKNOWN = "missing", "unknown"

Software = Mapping[str, str]
"""What is there, by what it is: ``{"numpy": "2.3.1", "plugin /x/mine.py": "text 3f2a9c01d4e5", ...}``."""


def software(plugins: Mapping[str, str], methods: Iterable[str]) -> dict[str, str]:
    """What this process has. Plugins whose text is the wanted one are run, if they have not been.

    Args:
        plugins: path -> digest of the text that is wanted.
        methods: names whose origin matters.

    Example:
        >>> sorted(software({}, ["ties"]))
        ['numba', 'numpy', 'python', 'solera', 'torch']
    """
    found = {path: _plugin(path, digest) for path, digest in plugins.items()}
    origins = {name: _origin(name) for name in methods}
    return {
        **_versions(),
        **texts(found),
        **{f"method {name}": origin for name, origin in origins.items() if not origin.startswith(BUILT_IN)},
    }


def texts(plugins: Mapping[str, str]) -> dict[str, str]:
    """Plugins by path, with the digests of their texts, as software.

    Example:
        >>> texts({"/x/mine.py": "3f2a9c01d4e5f6a7"})
        {'plugin /x/mine.py': 'text 3f2a9c01d4e5'}
    """
    return {f"plugin {path}": f"text {digest[:12]}" if digest else ABSENT for path, digest in plugins.items()}


def differences(have: Software, want: Software) -> tuple[str, str]:
    """What differs, as it is and as it should be; ("", "") where nothing does.

    Example:
        >>> differences({"numpy": "1.9", "torch": "2.6"}, {"numpy": "2.3", "torch": "2.6"})
        ('numpy 1.9', 'numpy 2.3')
    """
    odd = [name for name in want if have.get(name, ABSENT) != want[name]]
    return (
        ", ".join(f"{name} {have.get(name, ABSENT)}" for name in odd),
        ", ".join(f"{name} {want[name]}" for name in odd),
    )


def methods_of(plan: Plan) -> tuple[str, ...]:
    """Names of the methods, steps and wrappers that a plan calls."""
    calls = {id(t.call): t.call for o in plan.outputs for p in o.parts for t in tasks_of(p.expr)}
    return tuple(sorted({name for call in calls.values() for name in _names(call)}))


def _names(call: Call) -> Iterator[str]:
    if not call.steps:
        yield call.method
    for part in (*call.steps, *call.wrap):
        yield from _names(part)


def _plugin(path: str, wanted: str) -> str:
    """Digest of a plugin's text, nothing where there is none; what is wanted is run."""
    try:
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""
    if digest == wanted and registry.plugins().get(path) != wanted:
        registry.load_plugin(path)
    return digest


def _origin(name: str) -> str:
    for card_of in (registry.card, registry.step_card):
        try:
            card = card_of(name)
        except SoleraError:
            continue
        return f"{card.target} version {getattr(card, 'version', 1)}"
    return UNKNOWN


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    """Public versions: a build for another device is the same version."""
    found = {name: _version(name) for name in LIBRARIES}
    return {"solera": __version__ + _build(), "python": platform.python_version(), **found}


def _version(package: str) -> str:
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return ABSENT


def _build() -> str:
    """A digest of the installed package's own files: two builds of one version may differ. A checkout has none."""
    listed = (metadata.distribution("solera").read_text("RECORD") or "").splitlines()
    own = sorted(line for line in listed if line.startswith("solera/") and ".py," in line)
    return f" build {hashlib.sha256(chr(10).join(own).encode()).hexdigest()[:12]}" if own else ""
