"""What the scripts that run official code share: a checked checkout, stand-ins for heavy imports, one way to store."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

PARITY = Path(__file__).resolve().parents[2] / "tests" / "parity"
OFFICIAL, EXPERTS = PARITY / "goldens" / "official", PARITY / "goldens" / "experts"
LIMIT = 200_000
sys.path.insert(0, str(PARITY))


def checkout(commit: str, description: str) -> Path:
    """The path given by ``--checkout``, which must stand at `commit`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--checkout", type=Path, required=True, help=f"the repository at {commit}")
    path: Path = parser.parse_args().checkout
    found = subprocess.run(
        ["git", "-C", path, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if found != commit:
        sys.exit(f"{path} stands at {found}; these results belong to {commit}")
    return path


class _Empty(ModuleType):
    """A module in which every name is an empty class."""

    __path__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *a, **k: None})  # noqa: ARG005


def stand_in(*names: str) -> None:
    """Put empty modules in the place of imports that the functions under test do not use."""
    for name in names:
        sys.modules[name] = _Empty(name)


def module(name: str, path: Path) -> ModuleType:
    """One file of the checkout as a module of this name; its package is not run."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def store(name: str, tensors: Mapping[str, Any], repository: str, commit: str, folder: Path = OFFICIAL) -> None:
    """Write one file of results, with where they come from."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    flat = {key: value.detach().contiguous() for key, value in tensors.items()}
    save_file(flat, path, metadata={"repository": repository, "commit": commit})
    size = path.stat().st_size
    if size > LIMIT:
        path.unlink()
        sys.exit(f"{path.name} would take {size} bytes; {LIMIT} are allowed")
    sys.stdout.write(f"{path.name}: {len(flat)} tensors, {size} bytes\n")
