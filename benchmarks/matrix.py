"""Which rows are taken: the short form (minutes) and the rest (hours)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from methods import TRIALS

KEENEST = ("linear", "ties", "ties (whole model)", "sce")
"""Methods that the short form follows over K, over place, and in a running process."""
COMPARED = ("linear", "ties")
"""Methods that the short form runs in mergekit as well."""


@dataclass(frozen=True)
class Job:
    """One row to take.

    Attributes:
        kind: merge, compare, running, help, plan or kernel; with method, size, models (K), place (memory or disk; card
            is memory with steps on a graphics card) and threads it is the row's key.
        repeats: rounds; the best counts. theirs: rounds in which mergekit runs too.
    """

    kind: str
    method: str
    size: str
    models: int
    place: str = "memory"
    threads: int = 2
    repeats: int = 3
    theirs: int = 0

    def key(self) -> dict[str, Any]:
        """What makes the row this row."""
        return {name: getattr(self, name) for name in ("kind", "method", "size", "models", "place", "threads")}

    def named(self, methods: str, sizes: str) -> bool:
        """Whether it is among the methods and sizes asked for; nothing asked for is all."""
        return (not methods or self.method in methods.split(",")) and (not sizes or self.size in sizes.split(","))

    def __str__(self) -> str:
        """One line for the log."""
        return f"{self.kind} {self.method} {self.size} B x {self.models}, {self.place}, {self.threads} workers"


def jobs(*, full: bool) -> list[Job]:
    """Rows in the order in which they are taken: data sets together. The full form contains the short one."""
    rows = {tuple(job.key().values()): job for job in _short()}
    for job in _full() if full else ():
        rows.setdefault(tuple(job.key().values()), job)
    return list(rows.values())


def _short() -> Iterator[Job]:
    yield Job("help", "", "tiny", 0, repeats=5)
    yield from (Job("merge", name, "tiny", 3, repeats=3) for name in TRIALS)
    yield from (Job("kernel", name, "0.03", 3) for name in ("linear", "task_arithmetic"))
    yield Job("plan", "ties", "moe", 8, repeats=2)
    yield Job("plan", "ties", "moe-90k", 20, repeats=1)
    for name in TRIALS:
        yield Job("merge", name, "0.1", 3, theirs=1 if name in COMPARED else 0)
    for name in KEENEST:
        yield Job("running", name, "0.1", 3)
        yield from (Job("merge", name, "0.1", models, repeats=2) for models in (2, 8, 20))
    yield from (Job("merge", name, "0.1", 3, threads=1, repeats=2) for name in KEENEST)
    yield from (Job("merge", name, "0.1", 3, "disk", repeats=2) for name in KEENEST[:2])


def _full() -> Iterator[Job]:
    """The rest; `compare` rows are merges that mergekit runs too, for methods of which the short form asks none."""
    for name, trial in TRIALS.items():
        yield Job("running", name, "0.1", 3)
        if trial.takes is None:
            yield from (Job("merge", name, "0.1", models, repeats=2) for models in (2, 8, 20))
        if name not in COMPARED and trial.both:
            yield Job("compare", name, "0.1", 3, repeats=1, theirs=1)
    for name in ("linear", "ties"):
        yield Job("merge", name, "moe", 3, repeats=2)
    for name, trial in TRIALS.items():
        yield Job("merge", name, "0.5", 3, repeats=2)
        if trial.takes is None and name in KEENEST:
            yield Job("merge", name, "0.5", 8, repeats=2)
    for name, trial in TRIALS.items():
        yield Job("merge", name, "1.1", 3, repeats=2, theirs=1 if trial.both else 0)
        yield Job("running", name, "1.1", 3, repeats=3)
    yield from (Job("merge", name, "1.1", 3, threads=1, repeats=1) for name in KEENEST)
    yield from (Job("merge", name, "1.1", 3, "disk", repeats=1) for name in KEENEST)
    if shutil.which("nvidia-smi"):
        yield from (Job("merge", name, size, 3, "card", repeats=2) for size in ("0.1", "1.1") for name in KEENEST)
    for size in ("3", "7"):
        yield from (Job("merge", name, size, 3, "disk", repeats=1) for name in KEENEST[:3])
