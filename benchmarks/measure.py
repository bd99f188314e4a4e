"""Run a command as a whole process and read the operating system's own counters of it."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

POLL = 0.01
"""Seconds between looks at the memory of a running process; its peak is the system's own high-water mark."""
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Taken:
    """One run of a command.

    Attributes:
        wall, cpu: seconds of the whole process, interpreter and imports included; cpu is user + system.
        read, written: bytes through read and write calls. disk_read, disk_written: bytes that reached a device.
        peak_rss, peak_anon: bytes resident at the highest; anonymous memory at the highest look.
        others: cores that everything else on the machine kept busy meanwhile. load: load average before.
        code: exit code. out, err: what it printed.
    """

    wall: float
    cpu: float
    read: int
    written: int
    disk_read: int
    disk_written: int
    peak_rss: int
    peak_anon: int
    others: float
    load: float
    code: int
    out: str
    err: str

    def figures(self) -> dict[str, Any]:
        """All but what was printed."""
        return {k: v for k, v in asdict(self).items() if k not in ("out", "err")}


def run(command: Sequence[str], env: Mapping[str, str] | None = None, *, limit: float = 7200) -> Taken:
    """Run a command to its end and measure it; a failure is a value, not an exception."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        load, busy, own = os.getloadavg()[0], busy_seconds(), time.process_time()
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=surroundings(env))
        memory = Memory(process.pid)
        guard = threading.Timer(limit, process.kill)
        guard.start()
        _wait(process)
        wall = time.monotonic() - began
        guard.cancel()
        counters = _counters(process.pid)
        memory.stop()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        others = max(0.0, busy_seconds() - busy - cpu - (time.process_time() - own)) / wall
        return Taken(
            wall,
            cpu,
            counters["rchar"],
            counters["wchar"],
            counters["read_bytes"],
            counters["write_bytes"],
            memory.rss,
            memory.anon,
            round(others, 3),
            load,
            process.returncode,
            _text(out),
            _text(err),
        )


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end without reaping, so that the counters stay; whoever stops the wait stops the process."""
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    except BaseException:
        process.kill()
        raise


def surroundings(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a measured process: nothing from the network, byte code kept between runs as at a user's."""
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "COLUMNS": "120", "NO_COLOR": "1"}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "SOLERA_CATALOG": "off", **quiet, **(extra or {})}


def _text(file: Any) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _counters(pid: int) -> dict[str, int]:
    """/proc/PID/io of a process that has ended and was not yet reaped; its reaped children are counted."""
    rows = (line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return {key: int(value) for key, value in rows}


def busy_seconds() -> float:
    """CPU seconds that the machine has spent on anything, steal by the host included, since its start."""
    fields = [int(v) for v in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _, _, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / TICK


class Memory:
    """Looks at a process's memory until told to stop."""

    def __init__(self, pid: int) -> None:
        self.rss = self.anon = 0
        self._path, self._ended = Path(f"/proc/{pid}/status"), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(POLL):
            self._look()

    def _look(self) -> None:
        try:
            text = self._path.read_text()
        except OSError:
            return
        found = {k: int(v) * 1024 for k, v in re.findall(r"^(VmHWM|RssAnon):\s+(\d+) kB", text, re.MULTILINE)}
        self.rss = max(self.rss, found.get("VmHWM", 0))
        self.anon = max(self.anon, found.get("RssAnon", 0))

    def stop(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join()
