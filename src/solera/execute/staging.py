"""The staging folder beside the target, its lock, and the commit that makes it the target.

Promises. Kill -9 at any moment: the old target or nothing is at the target's name, and the run can be resumed.
Power loss: the same, and what the disk lost of the staging folder is noticed by digest and done again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from solera.errors import NoSpace, RunError, TargetInUse


@dataclass(frozen=True, slots=True)
class Staging:
    """Where a run writes: `model` becomes the target; the journal and the lock stay outside of it."""

    target: Path
    root: Path

    @classmethod
    def beside(cls, target: Path) -> Staging:
        """The staging place of a target: a hidden folder next to it, so that a rename commits."""
        target = target.absolute()
        return cls(target, target.parent / f".{target.name}.solera")

    @property
    def model(self) -> Path:
        """Folder of the output files."""
        return self.root / "model"

    @property
    def journal(self) -> Path:
        """File of the journal."""
        return self.root / "journal.jsonl"

    @property
    def aside(self) -> Path:
        """Where the old target waits while the new one takes its name."""
        return self.root / "old"


@contextlib.contextmanager
def claimed(target: Path, *, force: bool, keep: Iterable[Path] = ()) -> Iterator[Staging]:
    """Claim a target: check it, make the staging folder, hold its lock.

    Args:
        target: the output folder.
        force: an old model there may be replaced.
        keep: files and folders that must not be lost, whatever `force` says (inputs, the recipe).

    Raises:
        TargetInUse: another run holds it; it is not empty and `force` is not given; it is no model, or holds what
            must be kept.
        RunError: it cannot be written; so is every refusal of the system inside the block told.
    """
    staging = Staging.beside(target)
    check_target(staging.target, force=force, keep=keep)
    with told(staging.target):
        staging.model.mkdir(parents=True, exist_ok=True)
        handle = os.open(staging.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(handle, staging.target)
        recover(staging)
        with told(staging.target):
            yield staging
    finally:
        os.close(handle)
        if not resumable(staging):
            discard(staging)


def discard(staging: Staging) -> None:
    """Throw away what a stopped run has made; an old target that waits aside is put back first."""
    recover(staging)
    shutil.rmtree(staging.root, ignore_errors=True)


def resumable(staging: Staging) -> bool:
    """Whether the staging folder holds work of a stopped run, or an old target not yet put back."""
    try:
        return staging.aside.exists() or staging.journal.read_bytes().count(b"\n") > 1
    except OSError:
        return False


def check_target(target: Path, *, force: bool, keep: Iterable[Path] = ()) -> None:
    """Whether a target could be claimed as things stand, for work that comes before a run; arguments as `claimed`.

    Raises:
        TargetInUse: it is not empty and `force` is not given; it is no model, or holds what must be kept.
    """
    _check_target(target.absolute(), force=force)
    _check_precious(target.absolute(), keep)


def _check_target(target: Path, *, force: bool) -> None:
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() and not force:
        raise TargetInUse(
            "the target is not empty.", where=target, want="a new or empty folder", fix="choose another, or add --force"
        )
    if target.exists() and not target.is_dir():
        raise TargetInUse("the target is a file.", where=target, want="a folder", fix="choose another name")


def _check_precious(target: Path, keep: Iterable[Path]) -> None:
    """Refuse to replace a folder that holds an input, the recipe or the working directory, or that is no model."""
    if not target.exists() or not any(target.iterdir()):
        return
    real = target.resolve()
    for path in (Path.cwd(), *keep):
        other = path.resolve()
        if real == other or real in other.parents or (other in real.parents and other != Path.cwd().resolve()):
            raise TargetInUse(
                "the target holds, or lies in, something that this run needs.",
                where=target,
                got=path,
                want="a folder of its own",
                fix="choose another target",
            )
    if not any((target / name).exists() for name in _MODEL_FILES) and not any(target.glob("*.safetensors")):
        raise TargetInUse(
            "the target is not a model folder.", where=target, want="a model to replace", fix="choose another target"
        )


_MODEL_FILES = ("solera.json", "config.json", "adapter_config.json", "pytorch_model.bin")


def _lock(handle: int, target: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise TargetInUse(
            "another run is writing this target.", where=target, fix="wait for it to end, or choose another target"
        ) from None


def recover(staging: Staging) -> None:
    """Finish a commit that was cut between setting the old target aside and renaming the new one."""
    with told(staging.target):
        _put_back(staging)
    shutil.rmtree(staging.aside, ignore_errors=True)


def _put_back(staging: Staging) -> None:
    if staging.aside.exists() and not staging.target.exists():
        staging.aside.rename(staging.target)


def commit(staging: Staging) -> None:
    """Make the staged model the target, all at once, and remove the staging folder.

    Every file and folder is forced to the disk first. An old target is set aside by a rename, and removed last.
    """
    with told(staging.target):
        for path in (*staging.model.rglob("*"), staging.model):
            _force(path)
        try:
            if staging.target.exists():
                staging.target.rename(staging.aside)
            staging.model.rename(staging.target)
        except OSError:
            _put_back(staging)
            raise
        _force(staging.target.parent)
    shutil.rmtree(staging.root, ignore_errors=True)


def _force(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def check_space(target: Path, needed: int, *, present: int = 0) -> None:
    """Refuse before the first byte when the disk cannot hold the output.

    Raises:
        NoSpace: less is free than `needed` less `present` (already staged) bytes.
    """
    folder = next(p for p in (target, *target.absolute().parents) if p.exists())
    free = shutil.disk_usage(folder).free
    if needed - present > free:
        raise NoSpace(
            "the disk is too small for the output.",
            where=folder,
            got=f"{free:,} bytes free",
            want=f"{needed - present:,} bytes",
            fix="free some space, or choose a target on another disk",
        )


RESUME = "a merge goes on with --resume"
"""What to do once a full disk has room again."""


@contextlib.contextmanager
def told(target: Path, again: str = RESUME) -> Iterator[None]:
    """What the system refuses inside the block, in the house form."""
    try:
        yield
    except OSError as error:
        raise unwritable(target, error, again) from None


def unwritable(target: Path, error: OSError, again: str = RESUME) -> RunError:
    """An operating-system error in the house form; `again` says how to go on once there is room."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoSpace("the disk is full.", where=target, got=error.strerror, fix=f"free some space; {again}")
    return RunError(
        "the target cannot be written.", where=error.filename or target, got=error.strerror, fix="check its permissions"
    )
