"""Rows of results: one JSON object per line, appended as they are taken; the last row of a key counts."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROWS = Path(__file__).parent / "results" / "rows.jsonl"
KEY = ("kind", "method", "size", "models", "place", "threads")
Row = dict[str, Any]


def key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a row the same measurement as another."""
    return tuple(row.get(name) for name in KEY)


@dataclass(frozen=True)
class Results:
    """The rows in a file."""

    path: Path = ROWS

    def latest(self) -> dict[tuple[Any, ...], Row]:
        """The last row of every key; a torn last line is passed over."""
        rows: dict[tuple[Any, ...], Row] = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            rows[key_of(row)] = row
        return rows

    def finished(self, since: str, calmer_than: float) -> set[tuple[Any, ...]]:
        """Keys that need no further run: taken since then, without an error, the machine calm enough."""
        return {
            key
            for key, row in self.latest().items()
            if row["date"] >= since and "error" not in row and row["others"] <= calmer_than
        }

    def append(self, row: Row) -> None:
        """Add a row, with where and when it was taken."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        full = {**row, "date": datetime.now(UTC).isoformat(timespec="seconds"), **machine()}
        with self.path.open("a") as file:
            file.write(json.dumps(full) + "\n")


def machine() -> dict[str, Any]:
    """Which machine and which code."""
    return {"machine": f"{processor()}, {os.cpu_count()} cores, {memory_gib()} GiB", "code": commit()}


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def memory_gib() -> int:
    """Installed memory."""
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)


def commit() -> str:
    """Short id of the checked-out commit; a plus when tracked sources differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain", "-uno", "../src"], capture_output=True, check=False)
    return found.stdout.strip() + ("+" if changed.stdout else "")
