"""doctor: what this machine has, and what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from solera import __version__
from solera.checkpoints.hub import is_offline

_CORE = ("torch", "numpy", "safetensors", "huggingface_hub")


def doctor(folder: str | Path = ".") -> dict[str, Any]:
    """Describe the machine: versions, cores, memory, free disk, extras present or missing, whether the Hub is asked.

    Args:
        folder: the disk to measure.

    Returns:
        Plain data: ``solera, python, platform, versions, cores, memory_bytes, disk_free_bytes, extras, hub_offline,
        hub_cache``. An extra is ``{"present": bool, "missing": [requirements], "install": line}``.

    Example:
        >>> seen = doctor()
        >>> seen["cores"] >= 1, sorted(seen["extras"]["hf"])
        (True, ['install', 'missing', 'present'])
    """
    return {
        "solera": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in _CORE},
        "cores": _cores(),
        "memory_bytes": _memory(),
        "disk_free_bytes": shutil.disk_usage(folder).free,
        "extras": {name: _extra(name) for name in _extras()},
        "hub_offline": is_offline(None),
        "hub_cache": _hub_cache(),
    }


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> int | None:
    """Bytes of physical memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> list[str]:
    return metadata.metadata("solera").get_all("Provides-Extra") or []


def _extra(name: str) -> dict[str, Any]:
    missing = sorted({str(need) for need in _needs(name) if not _satisfied(need)})
    return {"present": not missing, "missing": missing, "install": f'pip install "solera[{name}]"'}


def _needs(extra: str) -> Iterator[Requirement]:
    """What an extra asks for beyond the core; extras of extras are written out by the build."""
    for need in map(Requirement, metadata.requires("solera") or []):
        if need.marker and need.marker.evaluate({"extra": extra}) and not need.marker.evaluate({"extra": ""}):
            need.marker = None
            yield need


def _satisfied(need: Requirement) -> bool:
    version = _version(need.name)
    return version is not None and need.specifier.contains(version, prereleases=True)


def _hub_cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)
