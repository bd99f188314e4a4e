"""The log of a search: one line for what it is, one line for each outcome. A killed search goes on from it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from solera.errors import CorruptFile, RunError, TargetInUse
from solera.search.contract import Job, Outcome

FILE = "search.jsonl"

_WORDS = {
    "space": "space of genes", "problem": "recipe", "models": "models", "tasks": "tasks", "optimizer": "optimizer",
    "seed": "seed", "population": "population", "objectives": "objectives", "items": "sets of items",
    "estimator": "estimator", "libraries": "version of an optimizer's library",
}  # fmt: skip
"""What a header holds, in words."""


def key_of(job: Job) -> str:
    """What makes two jobs the same."""
    return json.dumps([list(job.genome), job.items, job.split, job.each, job.parent, job.by_recipe])


@dataclass(eq=False)
class Log:
    """Outcomes by job, kept in a file as they come. A context manager.

    A line that a kill cut short is dropped. Two searches cannot write one log.

    Attributes:
        path: the file. header: what the search is; a log of another search is refused.
        resume: go on with what the file holds; otherwise it must not be there.

    Raises:
        TargetInUse: the log is there and `resume` was not given, or another process writes it.
        RunError: it is of another search. CorruptFile: it is no log.
    """

    path: Path
    header: Mapping[str, Any]
    resume: bool = False
    known: dict[str, Outcome] = field(default_factory=dict, init=False)
    _file: IO[str] | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        """Open and read it."""
        if self.path.exists() and not self.resume:
            fix = "go on with --resume, or choose another folder"
            raise TargetInUse("There is a search in this folder.", where=self.path, fix=fix)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+", encoding="utf-8")
        try:
            _lock(self._file, self.path)
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, and with it the lock."""
        if self._file is not None:
            self._file.close()

    def get(self, job: Job) -> Outcome | None:
        """What came of the same job before."""
        return self.known.get(key_of(job))

    def put(self, job: Job, outcome: Outcome) -> None:
        """Keep an outcome; it is on the disk when this returns."""
        key = key_of(job)
        self.known[key] = outcome
        self._append({"job": json.loads(key), **asdict(outcome)})

    def _append(self, row: Mapping[str, Any]) -> None:
        assert self._file is not None, "the log is open"
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> None:
        assert self._file is not None, "the log is open"
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind("\n") + 1]
        if len(whole) < len(text):
            self._file.truncate(len(whole.encode()))
        rows = _rows(whole, self.path)
        if not rows:
            self._append({"solera-search": 1, **self.header})
            return
        _check(rows[0], json.loads(json.dumps(self.header)), self.path)
        for row in rows[1:]:
            job = row.pop("job")
            self.known[json.dumps(job)] = _outcome(row)


def _rows(text: str, path: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in text.splitlines()]
    except ValueError as error:
        raise CorruptFile("The log of the search is damaged.", where=path, got=error) from None
    if rows and not (isinstance(rows[0], dict) and rows[0].get("solera-search") == 1):
        raise CorruptFile("The file is no log of a search.", where=path)
    return rows


def _outcome(row: dict[str, Any]) -> Outcome:
    each = {task: tuple(numbers) for task, numbers in row.pop("each").items()}
    return Outcome(**row, each=each)


def _check(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Refuse the log of another search, and say in what it differs."""
    for name in dict.fromkeys((*wanted, *found)):
        if name != "solera-search" and found.get(name) != wanted.get(name):
            got, want = _difference(found.get(name), wanted.get(name))
            raise RunError(
                f"The log is of another search: the {_WORDS.get(name, name)} differ.", where=path, got=got, want=want,
                fix="choose another folder, or give what the log was begun with",
            )  # fmt: skip


def _difference(found: Any, wanted: Any) -> tuple[str, str]:
    """The parts of two values that are not the same, as text."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
        return tuple(", ".join(f"{n}: {str(each.get(n))[:60]}" for n in names[:3]) for each in (found, wanted))  # type: ignore[return-value]
    return str(found)[:200], str(wanted)[:200]


def _lock(file: IO[str], path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise TargetInUse("Another process is at work on this search.", where=path) from None
