"""Kill merges with signal 9 at random moments; look at what is left, resume, and compare with the undisturbed result.

python benchmarks/kill.py [--kills 200] [--size 0.1] [--folder DIR] [--json FILE] [--seed 0]

The merge is TIES with thresholds over the whole model, on two workers, so that summaries are journalled too. Moments
are uniform from the first byte of the output to the end of the commit, whose distance undisturbed runs tell; kills
that come later are drawn again. Every second run replaces an old target. After a kill the target is absent, or the
complete old one, or, once the commit has named it, the complete new one. `--resume` then gives the undisturbed bytes,
and reads what was unfinished.
Exit code 1 if any of this fails.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import checkpoints
from measure import surroundings
from methods import TRIALS

MODELS = 3
SLACK = 1.05
"""A resumed run reads at most this many times what was unfinished."""
POLL = 1e-4
TRIAL = TRIALS["ties (whole model)"]


@dataclass(frozen=True)
class Undisturbed:
    """What a run does that nobody kills.

    Attributes:
        span: seconds from the first byte of the output to the end of the process.
        sweep, write: bytes read for the summaries, and for writing. out: bytes of output tensors.
        summaries: how many are journalled. files: digest of every file of the target.
    """

    span: float
    sweep: int
    write: int
    out: int
    summaries: int
    files: dict[str, str]


@dataclass(frozen=True)
class Kill:
    """One kill and what came of it.

    Attributes:
        after: seconds after the first output byte. phase: summary, writing, commit, or after (the commit).
        replaces: there was an old target. left: absent, old, new, or damaged. same: the resumed result is identical.
        unfinished: bytes of input that a resume must read. read: what it read.
    """

    after: float
    phase: str
    replaces: bool
    left: str
    same: bool
    unfinished: int
    read: int

    @property
    def thrifty(self) -> bool:
        """Whether the resume read no more than was unfinished."""
        return self.read <= self.unfinished * SLACK


@dataclass(frozen=True)
class Field:
    """Where kills happen: recipe, old target, and the folder of new ones."""

    folder: Path
    recipe: Path
    old: Path

    @property
    def out(self) -> Path:
        """The target."""
        return self.folder / "merged"

    @property
    def staging(self) -> Path:
        """Where runs write before the commit."""
        return self.folder / ".merged.solera"

    def command(self, *options: str) -> list[str]:
        """A merge, as a process."""
        fixed = ("merge", str(self.recipe), "--out", str(self.out), "--threads", "2", "--json")
        return [sys.executable, "-m", "solera.cli", *fixed, *options]

    def clear(self, *, old: bool) -> None:
        """An empty field, or one with the old target."""
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.rmtree(self.staging, ignore_errors=True)
        if old:
            shutil.copytree(self.old, self.out)


def digests(folder: Path) -> dict[str, str]:
    """Digest of every file of a folder."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def prepare(folder: Path, size: str) -> Field:
    """Checkpoints, recipe, and a small complete model as the old target."""
    data = folder / "data"
    checkpoints.write(data, checkpoints.SIZES[size], MODELS)
    checkpoints.write(folder / "before", checkpoints.SIZES["tiny"], 0, seed=7)
    recipe = folder / "recipe.yaml"
    recipe.write_text(TRIAL.recipe(data, MODELS))
    return Field(folder, recipe, folder / "before" / "base")


@dataclass(eq=False)
class Running:
    """A merge in a process of its own."""

    pid: int
    code: int | None = None

    def ended(self) -> bool:
        """Whether it is over."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def kill(self) -> int:
        """Send signal 9; the exit code, which is another where the process was quicker."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code


@dataclass(frozen=True)
class Cold:
    """Every run is a new interpreter with the command line."""

    def begin(self, field: Field, *, force: bool) -> Running:
        """Start a merge."""
        command = field.command(*_options(force=force))
        silent = [(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_WRONLY, 0) for n in (1, 2)]
        return Running(os.posix_spawn(command[0], command, surroundings(), file_actions=silent))

    def resume(self, field: Field, *, force: bool) -> dict[str, Any]:
        """Go on with a killed run; its report."""
        command = field.command("--resume", *_options(force=force))
        done = subprocess.run(command, capture_output=True, text=True, env=surroundings(), check=False)
        if done.returncode:
            raise SystemExit(f"a resume ended with exit code {done.returncode}: {done.stderr}")
        report: dict[str, Any] = json.loads(done.stdout)
        return report


@dataclass(frozen=True)
class Warm:
    """Every killed run is a fork of this process, which has everything loaded: quicker, and moments hit the work."""

    def begin(self, field: Field, *, force: bool) -> Running:
        """Start a merge."""
        pid = os.fork()
        if pid:
            return Running(pid)
        code = 1
        try:
            self._merge(field, force=force, resume=False)
            code = 0
        finally:
            os._exit(code)

    def resume(self, field: Field, *, force: bool) -> dict[str, Any]:
        """Go on with a killed run, here; its report."""
        return self._merge(field, force=force, resume=True)

    def _merge(self, field: Field, *, force: bool, resume: bool) -> dict[str, Any]:
        import solera

        return solera.merge(field.recipe, field.out, threads=2, force=force, resume=resume).to_json()


Way = Cold | Warm


def _options(*, force: bool) -> list[str]:
    return ["--force"] if force else []


def until(done: Callable[[], bool], process: Running) -> float:
    """Wait until something is so, or the process is over; when that was."""
    while not done() and not process.ended():
        time.sleep(POLL)
    return time.monotonic()


def any_byte(field: Field) -> bool:
    """Whether the output has its first byte."""
    found = (field.staging / "model").glob("*.safetensors")
    return any(path.stat().st_size for path in found)


def undisturbed(field: Field, way: Way, runs: int) -> Undisturbed:
    """Measure runs that end by themselves."""
    spans = []
    for _ in range(runs):
        field.clear(old=False)
        process = way.begin(field, force=False)
        first = until(lambda: any_byte(field), process)
        spans.append(until(lambda: not field.staging.exists(), process) - first)
        if process.wait():
            raise SystemExit(f"the undisturbed merge ended with exit code {process.code}")
    files = digests(field.out)
    field.clear(old=False)
    report = way.resume(field, force=False)
    out, inputs = report["bytes_written"], len(TRIAL.folders(Path(), MODELS))
    write = inputs * out
    summaries = int(report["passes"] > 1)
    return Undisturbed(statistics.median(spans), report["bytes_read"] - write, write, out, summaries, files)


def journalled(field: Field) -> tuple[int, int]:
    """(summaries, bytes of finished chunks) in the journal of a killed run; a torn last line does not count."""
    path = field.staging / "journal.jsonl"
    summaries = nbytes = 0
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else ():
        record = json.loads(line)
        summaries += "s" in record
        nbytes += record.get("n", 0)
    return summaries, nbytes


def kill_once(field: Field, way: Way, normal: Undisturbed, moment: float, *, old: bool) -> Kill | None:
    """Kill a merge, look, resume, look again; None when the commit had ended before."""
    field.clear(old=old)
    process = way.begin(field, force=old)
    first = until(lambda: any_byte(field), process)
    time.sleep(max(0.0, first + moment - time.monotonic()))
    if process.kill() != -signal.SIGKILL or not field.staging.exists():
        return None
    left = _left(field, normal, old=old)
    summaries, finished = journalled(field)
    phase = _phase(normal, summaries, finished, left)
    if left == "new":
        return Kill(moment, phase, old, left, same=True, unfinished=0, read=0)
    swept = normal.sweep if summaries < normal.summaries else 0
    unfinished = swept + normal.write - finished * (normal.write // normal.out)
    read = way.resume(field, force=old)["bytes_read"]
    same = digests(field.out) == normal.files and not field.staging.exists()
    return Kill(moment, phase, old, left, same, unfinished, read)


def _left(field: Field, normal: Undisturbed, *, old: bool) -> str:
    """What stands at the target's name, or waits beside it for the next run to put back."""
    aside = field.staging / "old"
    place = field.out if field.out.exists() else aside
    if not place.exists():
        return "damaged" if old else "absent"
    found = digests(place)
    if old and found == digests(field.old):
        return "old" if place == field.out else "aside"
    return "new" if found == normal.files and place == field.out else "damaged"


def _phase(normal: Undisturbed, summaries: int, finished: int, left: str) -> str:
    if left == "new":
        return "after"
    if summaries < normal.summaries:
        return "summary"
    return "writing" if finished < normal.out else "commit"


def campaign(field: Field, way: Way, normal: Undisturbed, kills: int, seed: int) -> list[Kill]:
    """Kill until so many kills have struck a running merge."""
    draw, done = random.Random(seed), []
    while len(done) < kills:
        kill = kill_once(field, way, normal, draw.uniform(0, normal.span), old=len(done) % 2 == 1)
        if kill is not None:
            done.append(kill)
    return done


def summary(kills: Sequence[Kill], normal: Undisturbed) -> dict[str, Any]:
    """The figures of a campaign."""
    ratios = [k.read / k.unfinished for k in kills if k.unfinished]
    return {
        "kills": len(kills),
        "damaged": sum(k.left == "damaged" for k in kills),
        "different": sum(not k.same for k in kills),
        "spendthrift": sum(not k.thrifty for k in kills),
        "read_over_unfinished": round(max(ratios, default=0.0), 4),
        "phases": dict(Counter(k.phase for k in kills)),
        "left": dict(Counter(k.left for k in kills)),
        "span": round(normal.span, 4),
    }


def line(found: dict[str, Any]) -> str:
    """One line for people."""
    return (
        f"{found['kills']} kills over {found['span']:.2f} s: {found['damaged']} damaged targets, "
        f"{found['different']} resumes that differ, {found['spendthrift']} that read more than was unfinished "
        f"(at most {found['read_over_unfinished']:.3f} times); "
        f"struck {found['phases']}, left {found['left']}"
    )


def main() -> None:
    """Run a campaign in a fresh folder and delete it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--size", choices=("tiny", "0.1"), default="0.1")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm") if Path("/dev/shm").exists() else None)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warm", action="store_true", help="kill forks of this process, not new interpreters")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="solera-kill-") as folder:
        field = prepare(Path(folder), options.size)
        way = Warm() if options.warm else Cold()
        way.resume(field, force=False)
        normal = undisturbed(field, way, 3)
        kills = campaign(field, way, normal, options.kills, options.seed)
    found = summary(kills, normal)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**found, "size": options.size, "rows": [asdict(k) for k in kills]}) + "\n")
    print(line(found))
    raise SystemExit(bool(found["damaged"] or found["different"] or found["spendthrift"]))


if __name__ == "__main__":
    main()
