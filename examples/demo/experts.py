"""Run the training processes and show how far they are."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from tasks import TASKS

HERE = Path(__file__).parent
NAMES = ("base", *(task.name for task in TASKS))
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def make_all(folder: Path, console: Console) -> bool:
    """Train base and experts into `folder`; False when they stand there already, made by this very code."""
    stamp = folder / "made-by"
    if stamp.exists() and stamp.read_text() == _code_digest():
        return False
    with _bars(console) as show:
        _run(folder, [["base"]], show)
        _run(folder, [["digits", "rotated"], ["inverted", "parity"]], show)
    stamp.write_text(_code_digest())
    return True


def _code_digest() -> str:
    return hashlib.sha256(b"".join((HERE / name).read_bytes() for name in ("tasks.py", "train.py"))).hexdigest()


def _run(folder: Path, queues: Sequence[Sequence[str]], show: _Show) -> None:
    """One process a queue, all at the same time; a failed one ends the demo with its own message."""
    running = [_start(folder, queue) for queue in queues]
    readers = [Thread(target=_read, args=(process, show)) for process in running]
    try:
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    finally:
        for process in running:
            process.terminate()
            process.wait()
    if any(process.returncode for process in running):
        raise SystemExit("A training process failed; its message stands above.")


def _start(folder: Path, queue: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "train.py"), str(folder), *queue]
    return subprocess.Popen(  # noqa: S603 - this interpreter on a file of this folder
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD}
    )


def _read(process: subprocess.Popen[str], show: _Show) -> None:
    for line in process.stdout or ():
        said = json.loads(line)
        show(said["model"], said["step"], said["steps"], said["loss"])
    process.wait()


class _Show:
    """Where training stands: bars on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, bars: Progress | None) -> None:
        self.console, self.bars = console, bars
        self.rows = {name: bars.add_task(name, total=None, loss="") for name in NAMES} if bars else {}
        self.quarter: dict[str, int] = {}

    def __call__(self, name: str, step: int, steps: int, loss: float) -> None:
        if self.bars:
            self.bars.update(self.rows[name], completed=step, total=steps, loss=f"loss {loss:.2f}")
        elif (quarter := 4 * step // steps) > self.quarter.get(name, 0):
            self.quarter[name] = quarter
            self.console.print(f"  {name:<9} step {step:>3} of {steps}, loss {loss:.2f}")


@contextmanager
def _bars(console: Console) -> Iterator[_Show]:
    if not console.is_terminal:
        yield _Show(console, None)
        return
    columns = (
        TextColumn("  {task.description:<9}"),
        BarColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield _Show(console, bars)
