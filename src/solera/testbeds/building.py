"""Build a testbed, or open the one in the cache.

A build writes to a staging folder beside its target and is renamed at the end: what stands under a testbed's name is
finished. An interrupted build leaves its finished stages, and the next one goes on from them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from solera import __version__
from solera.errors import Interrupted, NotFound, SoleraError, TargetInUse
from solera.execute.staging import Staging, check_space, commit, recover, told, unwritable
from solera.testbeds import stages
from solera.testbeds.cache import Stored, place, root, stored, unfinished
from solera.testbeds.contract import Built, Size, Testbed
from solera.testbeds.homes import missing, testbed
from solera.testbeds.making import MADE, declared
from solera.testbeds.manifest import MANIFEST, seal, unseal, version_inside
from solera.types import Event

Listener = Callable[[Event], None]
_AGAIN = "run the same command again to go on"
_FULL = ("No space left", "File too large", "Disk quota exceeded")
"""What libraries that hide the error number say of a full disk."""


def build(
    name: str,
    *,
    size: Size = "small",
    seed: int = 0,
    cache: Path | str | None = None,
    on_event: Listener | None = None,
    force: bool = False,
) -> Built:
    """Open the testbed from the cache, or build it there.

    Args:
        name: one of `names()`; with the source of its data where it is another: ``vision-8:fashion``.
        size: tiny, small or full.
        seed: of data, weights and training.
        cache: folder of all testbeds; default: see `cache.root`.
        on_event: is told of progress.
        force: build anew, whatever is there.

    Returns:
        The finished testbed, checked against its digests.

    Raises:
        UnknownName, BadParameter: no such testbed, size or seed. MissingExtra: a package is not installed.
        CorruptFile: what the cache holds is damaged. NoSpace: the disk is full.
        RunError: it misses its quality gate, or cannot be written. Interrupted: stopped; the next call goes on.

    Cost: see `Testbed.minutes`; opening reads every file once.
    """
    listener: Listener = on_event or (lambda _event: None)
    kind = testbed(name)
    target = place(kind, size, seed, cache)
    this = Stored(kind.name, size, seed, kind.version, target)
    if not force and _usable(this, listener):
        return unseal(target)
    for other in _of_other_versions(this, cache):
        said = f"the cache holds {other.folder.name}; version {kind.version} is built anew"
        listener(Event("warning", "cache", said))
    with _claimed(target, fresh=force) as staging:
        _build(kind, this, staging, listener)
    listener(Event("finished", "testbed", str(target)))
    return unseal(target)


def open_built(name: str, *, size: Size = "small", seed: int = 0, cache: Path | str | None = None) -> Built:
    """Open a testbed that was built before.

    Raises:
        NotFound: it was not. CorruptFile: a file is not what was built. UnknownName, BadParameter: as `build`.
    """
    kind = testbed(name)
    target = place(kind, size, seed, cache)
    if not _usable(Stored(kind.name, size, seed, kind.version, target), lambda _event: None):
        raise NotFound(
            "this testbed is not built.",
            where=target,
            fix=f"solera testbed build {name} --size {size} --seed {seed}",
        )
    return unseal(target)


def remove(name: str, *, size: Size = "small", seed: int = 0, cache: Path | str | None = None) -> tuple[Path, ...]:
    """Delete a testbed from the cache: all its versions, and what interrupted builds of any of them left.

    Returns:
        The folders that are gone.

    Raises:
        TargetInUse: it is being built. UnknownName, BadParameter: as `build`.
    """
    kind = testbed(name)
    this = Stored(kind.name, size, seed, kind.version, place(kind, size, seed, cache))
    versions = {s.folder for s in (*stored(cache), *unfinished(cache)) if _same(s, this)}
    return tuple(gone for target in sorted(versions) for gone in _removed(target))


def _removed(target: Path) -> list[Path]:
    """Delete one version, finished or not; what was there."""
    found = [folder for folder in (target, Staging.beside(target).root) if folder.exists()]
    with _claimed(target, fresh=True) as staging:
        if target.exists():
            shutil.rmtree(target)
        shutil.rmtree(staging.root, ignore_errors=True)
    return found


def _usable(this: Stored, listener: Listener) -> bool:
    """Whether the target is a finished testbed of this very name, size, seed and version."""
    recover(Staging.beside(this.folder))
    if not this.folder.exists():
        return False
    inside = version_inside(this.folder)
    if inside == (this.name, this.size, this.seed, this.version):
        return True
    listener(Event("warning", "cache", f"{this.folder} holds {inside}: it is built anew"))
    return False


def _of_other_versions(this: Stored, cache: Path | str | None) -> list[Stored]:
    return [s for s in stored(cache) if _same(s, this) and s.version != this.version]


def _same(one: Stored, other: Stored) -> bool:
    """Whether both are versions of one testbed."""
    return (one.name, one.size, one.seed) == (other.name, other.size, other.seed)


@contextlib.contextmanager
def _claimed(target: Path, *, fresh: bool) -> Iterator[Staging]:
    """The staging folder, locked; what an interrupted build left stands in it unless it shall be `fresh`."""
    staging = Staging.beside(target)
    with told(target, _AGAIN):
        staging.model.mkdir(parents=True, exist_ok=True)
        handle = os.open(staging.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(handle, target)
        if fresh:
            shutil.rmtree(staging.model, ignore_errors=True)
            staging.model.mkdir(exist_ok=True)
        yield staging
    finally:
        os.close(handle)


def _lock(handle: int, target: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise TargetInUse("another process is building this testbed.", where=target, fix="wait for it to end") from None


def _build(kind: Testbed, this: Stored, staging: Staging, listener: Listener) -> None:
    check_space(staging.root, kind.nbytes.get(this.size, 0), present=_present(staging.model))
    minutes = kind.minutes.get(this.size)
    said = f"building {this.folder.name}" + (f", about {minutes:g} minutes on two idle cores" if minutes else "")
    listener(Event("started", "testbed", said))
    begun = time.monotonic()
    with _boundary(kind.name, this.folder):
        stages.begin(staging.model, f"{this.folder.name} {kind.settings(this.size) if kind.settings else ''}")
        kind.make(staging.model, this.size, this.seed, listener)
        made = declared(staging.model)
        stages.end(staging.model)
        seal(staging.model, this, made, _circumstances(time.monotonic() - begun))
        (staging.model / MADE).unlink()
    commit(staging)


@contextlib.contextmanager
def _boundary(name: str, target: Path) -> Iterator[None]:
    """Put what goes wrong while building into the house form; finished stages are kept in any case."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("stopped; finished stages are kept.", where=target, fix=_AGAIN) from None
    except SoleraError:
        raise
    except ImportError as error:
        raise missing(error, f"the testbed {name}") from error
    except OSError as error:
        raise unwritable(target, error, _AGAIN) from error
    except Exception as error:
        if any(text in str(error) for text in _FULL):
            raise unwritable(target, OSError(errno.ENOSPC, str(error)[:200]), _AGAIN) from error
        raise


def _present(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _circumstances(seconds: float) -> dict[str, object]:
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 1),
        "machine": platform.machine(),
        "versions": {"solera": __version__, **_versions()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in ("torch", "numpy", "transformers", "peft", "scikit-learn"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


__all__ = ["MANIFEST", "build", "open_built", "remove", "root"]
