"""A build as stages: each is done once, in a process of its own where two run at a time, and never half.

A stage writes to a folder of its own, which is renamed when it is finished; a record with the digests of its files says
so. Called again after an interruption, `run` does only what is missing. A record also says what its stage was made of:
work, options, the testbed and its version, the stages of earlier calls. Where any of these differs, it is made again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from solera.checkpoints.identity import hasher
from solera.testbeds.manifest import STAGES, files_below
from solera.types import Event

Tell = Callable[[int, int], None]
"""(done, total): how far a stage is."""
Work = Callable[..., Mapping[str, Any] | None]
_TICK_S = 0.2
_CHAIN = "chain"
"""File beside the records: digest of the testbed and of all stages that this build has come past, then their names."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One piece of a build.

    Attributes:
        name: path below the testbed's folder where its files end up, such as ``experts/rotated``.
        work: (empty folder, tell, **options) -> facts as plain JSON data. A function of a module, so that another
            process can find it; it draws nothing from global generators and sees one thread.
        options: plain values: JSON data, and paths. Paths of earlier stages are handed in here. Other options, another
            stage: what was made with them before is not used.
    """

    name: str
    work: Work
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """What is known of a finished stage: facts, wall and processor seconds, digests of its files and of its making."""

    facts: dict[str, Any]
    seconds: float
    cpu: float
    files: dict[str, str]
    made_of: str = ""


def begin(folder: Path, what: str) -> None:
    """Say what is built in `folder`, before its first stage: finished stages of anything else are made again.

    Args:
        folder: of the testbed being built.
        what: name, size, seed and version of the testbed, and its settings.
    """
    (folder / STAGES).mkdir(parents=True, exist_ok=True)
    (folder / STAGES / _CHAIN).write_text(_digest(what), "utf-8")


def end(folder: Path) -> None:
    """After the last stage: records go, and stages of an earlier build that this one has not come past."""
    passed = set(_chain(folder)[1:])
    for record in (folder / STAGES).glob("*.json"):
        if (name := record.stem.replace("--", "/")) not in passed:
            shutil.rmtree(folder / name, ignore_errors=True)
    shutil.rmtree(folder / STAGES)


def run(
    folder: Path,
    stages: Sequence[Stage],
    listener: Callable[[Event], None],
    *,
    title: str = "",
    workers: int = 2,
) -> dict[str, Finished]:
    """Do the stages that are not done yet; those of one call must not need each other.

    A stage that was finished with other options, or after other stages in earlier calls, is done again; a warning
    says so.

    Args:
        folder: of the testbed being built.
        stages: to be done, the longest first.
        listener: is told of progress, in steps.
        title: what the stages are called together.
        workers: processes at a time, each with one thread; 1: here, in this process.

    Returns:
        Stage name -> what is known of it, in the order of `stages`.
    """
    keys = _keys(folder, stages)
    found = {stage.name: _record(folder, stage.name) for stage in stages}
    title = title or stages[0].name
    if odd := [name for name, done in found.items() if done and done.made_of != keys[name]]:
        listener(Event("warning", title, f"made with other settings before, and made again: {', '.join(odd)}"))
    missing = [stage for stage in stages if found[stage.name] is None or stage.name in odd]
    show = _Progress(listener, title, [s.name for s in stages], [s.name for s in missing])
    if missing and workers > 1:
        _in_processes(folder, missing, keys, show, min(workers, len(missing)))
    elif missing:
        with single_thread():
            for stage in missing:
                _perform(folder, stage, keys[stage.name], partial(show, stage.name))
    _pass(folder, keys)
    again = {stage.name for stage in missing}
    return {name: _surely(folder, name) if name in again or not done else done for name, done in found.items()}


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch use one thread inside: sums then do not depend on the machine's cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _digest(text: str) -> str:
    return str(hasher().update(text.encode()).hexdigest())


def _chain(folder: Path) -> list[str]:
    """Digest of what was passed, and the names; nothing where nobody called `begin`."""
    path = folder / STAGES / _CHAIN
    return path.read_text("utf-8").splitlines() if path.exists() else []


def _pass(folder: Path, keys: Mapping[str, str]) -> None:
    """All that comes later may build on these stages, so it depends on what they are made of."""
    if chain := _chain(folder):
        lines = [_digest("\n".join([chain[0], *keys.values()])), *chain[1:], *keys]
        (folder / STAGES / _CHAIN).write_text("\n".join(lines), "utf-8")


def _keys(folder: Path, stages: Sequence[Stage]) -> dict[str, str]:
    """Stage name -> digest of all that it is made of."""
    before = _chain(folder)[:1]
    made = {s.name: [s.name, s.work.__module__, s.work.__qualname__, _portable(s.options, folder)] for s in stages}
    return {name: _digest(json.dumps([before, parts], sort_keys=True)) for name, parts in made.items()}


def _portable(value: Any, folder: Path) -> Any:
    """Options as JSON data, the same wherever the testbed is built."""
    if isinstance(value, Mapping):
        return {str(key): _portable(each, folder) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_portable(each, folder) for each in value]
    if isinstance(value, Path | str):
        return str(value).replace(str(folder), "")
    return value


def _quoted(name: str) -> str:
    return name.replace("/", "--")


def _record(folder: Path, name: str) -> Finished | None:
    """The record of a finished stage; None where it is not finished, or its files are not what was written."""
    try:
        kept = json.loads((folder / STAGES / f"{_quoted(name)}.json").read_text("utf-8"))
        done = Finished(**kept)
    except (OSError, ValueError, TypeError):
        return None
    there = files_below(folder / name) if (folder / name).is_dir() else {}
    return done if there == done.files else None


def _surely(folder: Path, name: str) -> Finished:
    found = _record(folder, name)
    if found is None:
        raise OSError(f"the files of stage {name} changed while the testbed was built")
    return found


def _perform(folder: Path, stage: Stage, key: str, tell: Tell) -> None:
    """Do one stage in its own folder, rename that, and write its record."""
    part, target = folder / STAGES / f"{_quoted(stage.name)}.part", folder / stage.name
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    wall, cpu = time.perf_counter(), time.process_time()
    facts = stage.work(part, tell, **stage.options)
    shutil.rmtree(target, ignore_errors=True)
    if any(part.iterdir()):
        target.parent.mkdir(parents=True, exist_ok=True)
        part.rename(target)
    files = files_below(target) if target.is_dir() else {}
    done = Finished(dict(facts or {}), time.perf_counter() - wall, time.process_time() - cpu, files, key)
    record = folder / STAGES / f"{_quoted(stage.name)}.json"
    written = record.with_suffix(".new")
    written.write_text(json.dumps(asdict(done)), "utf-8")
    written.replace(record)


class _Progress:
    """Adds up how far the stages of one group are."""

    def __init__(
        self, listener: Callable[[Event], None], title: str, names: Sequence[str], missing: Sequence[str]
    ) -> None:
        self.listener, self.title, self.count = listener, title, len(missing)
        self.at: dict[str, tuple[int, int]] = {}
        kept = len(names) - len(missing)
        message = ", ".join(missing) + (f" ({kept} kept from before)" if kept else "")
        if missing:
            listener(Event("started", title, message))

    def __call__(self, name: str, done: int, total: int) -> None:
        self.at[name] = done, total
        steps = sum(d for d, _ in self.at.values())
        # Stages that have not spoken yet count as long as the longest of those that have.
        silent = (self.count - len(self.at)) * max(t for _, t in self.at.values())
        whole = sum(t for _, t in self.at.values()) + silent
        self.listener(Event("progress", self.title, name, done=steps, total=whole, unit="steps"))


def _in_processes(
    folder: Path, stages: Sequence[Stage], keys: Mapping[str, str], show: _Progress, workers: int
) -> None:
    context = multiprocessing.get_context("spawn")
    queue, stop = context.Queue(), context.Event()
    with ProcessPoolExecutor(workers, context, _begin, (queue, stop, os.getpid())) as pool:
        waiting = [pool.submit(_in_child, folder, stage, keys[stage.name]) for stage in stages]
        try:
            _follow(waiting, queue, show)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    _pass_on(queue, show)  # what a process said last may arrive with its end


def _follow(waiting: Sequence[Future[None]], queue: Any, show: _Progress) -> None:
    """Pass on what the processes say until all are done; the first that fails ends it."""
    left = set(waiting)
    while left:
        done, left = wait(left, timeout=_TICK_S, return_when=FIRST_COMPLETED)
        _pass_on(queue, show)
        for future in done:
            future.result()


def _pass_on(queue: Any, show: _Progress) -> None:
    while not queue.empty():
        show(*queue.get())


_QUEUE: Any = None


def _begin(queue: Any, stop: Any, parent: int) -> None:
    """Start of a process: one thread, deaf to Ctrl-C (the parent hears it), gone when the parent is.

    A process may start after its parent was killed, so it is told who that is.
    Torch reads the environment when it is imported; where the parent's script has imported it already, it is told.
    """
    global _QUEUE
    _QUEUE = queue
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    threading.Thread(target=_watch, args=(parent, stop), daemon=True).start()


def _watch(parent: int, stop: Any) -> None:
    while not stop.wait(_TICK_S) and os.getppid() == parent:
        pass
    os._exit(1)


def _in_child(folder: Path, stage: Stage, key: str) -> None:
    _perform(folder, stage, key, lambda done, total: _QUEUE.put((stage.name, done, total)))
