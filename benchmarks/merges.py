"""Time whole merges against the floor, and against mergekit where its own environment is at hand.

python benchmarks/merges.py [--full] [--since 2026-01-31T12:00] [--calm 0.3] [--only 'ties,linear'] [--disk FOLDER]

Rows are appended to benchmarks/results/rows.jsonl. A row that is there is not taken again, so a stopped run goes on
where it was; `--since` takes older rows again, `--calm` those during which other processes kept more cores busy.
MERGEKIT_BIN names the folder of another environment's programs; without it that column stays empty.
Every repetition is floor, merge, mergekit in turn; the best of each counts, and all are in the row.

A virtual machine may hand freed memory back to its host within seconds and get it anew page by page. The floor, which
begins at once, then writes into warm memory, a merge into cold; with `--settle 4` all begin with cold memory. Rows of
the kind `running` take both in one process (`running.py`): they say how many floors a merge takes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import checkpoints
from matrix import Job, jobs
from measure import Taken, run
from methods import TRIALS, Trial
from results import Results, Row

HERE = Path(__file__).parent
SOLERA = (sys.executable, "-m", "solera.cli")
MEMORY = Path("/dev/shm")
MARGIN = 2 << 30
LARGEST = 90.0  # GB free for 7 B
MERGES = ("merge", "compare", "running")


def _mergekit() -> Path | None:
    folder = os.environ.get("MERGEKIT_BIN")
    return Path(folder) / "mergekit-yaml" if folder else None


@dataclass(frozen=True)
class Bench:
    """Where things are."""

    results: Results
    places: dict[str, Path]
    mergekit: Path | None = field(default_factory=_mergekit)
    settle: float = 0.0
    largest: float = LARGEST

    def data(self, job: Job) -> Path:
        """Folder of the job's checkpoints."""
        return self.places[job.place] / job.size

    def scratch(self, job: Job) -> Path:
        """Folder for outputs, on the same file system."""
        folder = self.places[job.place] / "out"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class RunFailed(Exception):
    """A measured command ended with an error."""


def checked(taken: Taken) -> Taken:
    """The run itself, if it went well."""
    if taken.code:
        lines = (taken.err or taken.out).strip().splitlines()
        raise RunFailed(f"exit code {taken.code}: " + " | ".join(lines[-6:])[-600:])
    return taken


def merge_row(bench: Bench, job: Job) -> Row:
    """One row of the matrix: repetitions in turn, then one run with clocks inside."""
    trial, scratch = TRIALS[job.method], bench.scratch(job)
    recipe = scratch / "recipe.yaml"
    recipe.write_text(trial.recipe(bench.data(job), job.models))
    rounds = [_round(bench, job, trial, recipe, theirs=round_ < job.theirs) for round_ in range(job.repeats)]
    return _summed(job, rounds, _clocks(scratch, recipe, job))


def _round(bench: Bench, job: Job, trial: Trial, recipe: Path, *, theirs: bool) -> dict[str, Any]:
    scratch = bench.scratch(job)
    time.sleep(bench.settle)
    found: dict[str, Any] = {"floor": floor(trial.folders(bench.data(job), job.models), scratch, job.place)}
    time.sleep(bench.settle)
    taken = checked(run([*SOLERA, *arguments(recipe, scratch / "merged", job)]))
    found["ours"] = {**taken.figures(), "report": _report(taken.out)}
    shutil.rmtree(scratch / "merged")
    if theirs and trial.both and bench.mergekit:
        time.sleep(bench.settle)
        other = run([str(bench.mergekit), str(recipe), str(scratch / "other")])
        found["theirs"] = {**other.figures(), **({"error": other.err.strip()[-300:]} if other.code else {})}
        shutil.rmtree(scratch / "other", ignore_errors=True)
    return found


def arguments(recipe: Path, out: Path, job: Job) -> list[str]:
    """Arguments of one merge."""
    who = ["--backend", "cuda"] if job.place == "card" else ["--threads", str(job.threads)]
    return ["merge", str(recipe), "--out", str(out), *who, "--json"]


def _report(text: str) -> dict[str, Any]:
    report = json.loads(text[text.index("{") :])
    kept = ("bytes_read", "bytes_written", "passes", "seconds", "memory_bytes", "digest")
    return {name: report[name] for name in kept}


def floor(folders: Iterable[Path], scratch: Path, place: str) -> dict[str, float]:
    """Seconds of reading all inputs once and writing one output, and of the fsync on a disk."""
    size, files = files_of(folders)
    out = scratch / "floor.bin"
    flag = ["--fsync"] if place == "disk" else []
    command = [sys.executable, str(HERE / "floor.py"), *flag, "--threads", "2", str(out), size, *files]
    seconds, forced = checked(run(command)).out.split()
    out.unlink()
    return {"seconds": float(seconds), "fsync": float(forced)}


def files_of(folders: Iterable[Path]) -> tuple[str, list[str]]:
    """Bytes of one model, and the files of all."""
    inputs = [sorted(folder.glob("*.safetensors")) for folder in folders]
    return str(sum(path.stat().st_size for path in inputs[-1])), [str(path) for paths in inputs for path in paths]


def running_row(bench: Bench, job: Job) -> Row:
    """Floors and merges in one process; wall and cpu are those of the quickest merge."""
    trial, scratch = TRIALS[job.method], bench.scratch(job)
    recipe = scratch / "recipe.yaml"
    recipe.write_text(trial.recipe(bench.data(job), job.models))
    size, files = files_of(trial.folders(bench.data(job), job.models))
    how = ["--repeat", str(job.repeats), "--threads", str(job.threads)]
    taken = checked(run([sys.executable, str(HERE / "running.py"), *how, str(recipe), str(scratch), size, *files]))
    found = json.loads(taken.out)
    best = min(range(job.repeats), key=lambda i: found["ours"][i])
    ours = {"wall": found["ours"][best], "cpu": found["cpu"][best]}
    walls = {"ours": found["ours"], "floor": found["floor"]}
    floors = {"seconds": min(found["floor"])}
    return {**job.key(), "ours": ours, "floor": floors, "walls": walls, "others": taken.others, "load": taken.load}


def _clocks(scratch: Path, recipe: Path, job: Job) -> dict[str, Any]:
    figures = scratch / "clocks.json"
    command = [sys.executable, str(HERE / "probe.py"), str(figures), *arguments(recipe, scratch / "probed", job)]
    checked(run(command, {"PROBE_BEGAN": str(time.monotonic())}))
    shutil.rmtree(scratch / "probed")
    return dict(json.loads(figures.read_text()))


def _summed(job: Job, rounds: Sequence[dict[str, Any]], clocks: dict[str, Any]) -> Row:
    best = min((r["ours"] for r in rounds), key=lambda taken: taken["wall"])
    theirs = [r["theirs"] for r in rounds if "theirs" in r]
    failed = [t["error"] for t in theirs if "error" in t]
    quickest = min((t for t in theirs if "error" not in t), key=lambda t: t["wall"], default=None)
    return {
        **job.key(),
        "parameters": checkpoints.parameters(checkpoints.SIZES[job.size]),
        "ours": best,
        "peak_rss": max(r["ours"]["peak_rss"] for r in rounds),
        "peak_anon": max(r["ours"]["peak_anon"] for r in rounds),
        "floor": min((r["floor"] for r in rounds), key=lambda f: f["seconds"]),
        "theirs": quickest,
        **({"theirs_failed": failed[-1]} if failed else {}),
        "clocks": clocks,
        "walls": {k: [round(w, 4) for w in ws] for k, ws in _walls(rounds).items()},
        "others": round(max(r["ours"]["others"] for r in rounds), 3),
        "load": rounds[0]["ours"]["load"],
    }


def _walls(rounds: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    return {
        "ours": [r["ours"]["wall"] for r in rounds],
        "floor": [r["floor"]["seconds"] for r in rounds],
        "theirs": [r["theirs"]["wall"] for r in rounds if "theirs" in r],
    }


def help_row(bench: Bench, job: Job) -> Row:
    """`solera --help`, as a process."""
    del bench
    return _plain(job, [checked(run([*SOLERA, "--help"])) for _ in range(job.repeats)])


def plan_row(bench: Bench, job: Job) -> Row:
    """`solera plan` of many tensors, as a process; the checkpoints are headers over holes."""
    scratch, data = bench.scratch(job), bench.places[job.place] / f"headers-{job.size}"
    checkpoints.write_headers(data, checkpoints.SIZES[job.size], job.models)
    try:
        recipe = scratch / "recipe.yaml"
        recipe.write_text(TRIALS[job.method].recipe(data, job.models))
        taken = [checked(run([*SOLERA, "plan", str(recipe), "--json"])) for _ in range(job.repeats)]
    finally:
        shutil.rmtree(data)
    return _plain(job, taken) | {"tensors": sum(1 for _ in checkpoints.tensors(checkpoints.SIZES[job.size]))}


def kernel_row(bench: Bench, job: Job) -> Row:
    """A kernel alone, on elements in memory."""
    del bench
    options = ["--only", job.method, "--threads", str(job.threads), "--models", str(job.models)]
    taken = checked(run([sys.executable, str(HERE / "kernels.py"), *options]))
    return _plain(job, [taken]) | {"figures": json.loads(taken.out)["methods"][job.method]}


def _plain(job: Job, taken: Sequence[Taken]) -> Row:
    best = min(taken, key=lambda t: t.wall)
    worst = max(t.others for t in taken)
    walls = {"ours": [round(t.wall, 4) for t in taken]}
    return {**job.key(), "ours": best.figures(), "walls": walls, "others": worst, "load": taken[0].load}


KINDS = {
    "merge": merge_row,
    "compare": merge_row,
    "running": running_row,
    "help": help_row,
    "plan": plan_row,
    "kernel": kernel_row,
}


def room_for(bench: Bench, job: Job, wanted: int) -> str:
    """Why the job's files do not fit, or an empty string."""
    need = MARGIN
    if wanted:
        need += (wanted + 2) * 2 * checkpoints.parameters(checkpoints.SIZES[job.size])
    made = bench.data(job).exists()
    free = shutil.disk_usage(bench.places[job.place]).free
    if job.place != "disk":
        free = min(free, _available())
    least = bench.largest * 1e9 if job.size == "7" else 0
    if made or free >= max(need, least):
        return ""
    return f"{free / 1e9:.0f} GB free in {job.place}, {max(need, least) / 1e9:.0f} wanted"


def _available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 0


def take(bench: Bench, todo: Sequence[Job]) -> list[str]:
    """Run the jobs, one data set at a time, each deleted when its jobs are done; returns what was left out."""
    left = []
    groups = dict.fromkeys((job.place, job.size) for job in todo)
    for place, size in groups:
        group = [job for job in todo if (job.place, job.size) == (place, size)]
        models = max((TRIALS[j.method].operands(j.models) for j in group if j.kind in MERGES), default=0)
        if why := room_for(bench, group[0], models):
            left.append(f"{size} B in {place}: {why}")
            continue
        try:
            if models:
                say(f"-- writing {models + 1} checkpoints of {size} B ({place})")
                checkpoints.write(bench.places[place] / size, checkpoints.SIZES[size], models)
            left += [line for job in group if (line := _one(bench, job))]
        finally:
            shutil.rmtree(bench.places[place] / size, ignore_errors=True)
    return left


def _one(bench: Bench, job: Job) -> str:
    began = time.monotonic()
    try:
        row = KINDS[job.kind](bench, job)
    except (RunFailed, KeyError, ValueError, OSError) as error:
        bench.results.append({**job.key(), "error": f"{type(error).__name__}: {error}", "others": 0.0, "load": 0.0})
        shutil.rmtree(bench.scratch(job), ignore_errors=True)
        say(f"{job}: {error}")
        return f"{job}: {error}"
    bench.results.append(row)
    theirs = f", mergekit {row['theirs']['wall']:.1f} s" if row.get("theirs") else ""
    under = f", floor {row['floor']['seconds']:.2f} s" if "floor" in row else ""
    say(f"{job}: {row['ours']['wall']:.2f} s{under}{theirs}, others {row['others']} ({time.monotonic() - began:.0f} s)")
    return ""


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def main() -> None:
    """Take what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the whole matrix (hours), not the short form")
    parser.add_argument("--since", default="", help="take rows older than this date again (UTC)")
    parser.add_argument("--calm", type=float, default=float("inf"), help="take rows again that others disturbed more")
    parser.add_argument("--only", default="", help="methods, by name")
    parser.add_argument("--sizes", default="", help="sizes, such as 0.1,0.5")
    parser.add_argument("--disk", type=Path, default=HERE.parent / "build" / "bench", help="a folder on the disk")
    parser.add_argument("--results", type=Path, default=Results.path)
    parser.add_argument("--settle", type=float, default=0.0, help="seconds of rest before each process of a merge row")
    parser.add_argument(
        "--largest", type=float, default=LARGEST, help="GB that must be free for 7 B, of which it takes 68"
    )
    options = parser.parse_args()
    results = Results(options.results)
    mine = f"solera-bench-{os.getuid()}"
    places = {"memory": MEMORY / mine, "card": MEMORY / mine, "disk": options.disk / mine}
    for folder in places.values():
        folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(results, places, settle=options.settle, largest=options.largest)
    finished = results.finished(options.since, options.calm)
    wanted = [job for job in jobs(full=options.full) if job.named(options.only, options.sizes)]
    todo = [job for job in wanted if tuple(job.key().values()) not in finished]
    say(f"{len(todo)} of {len(wanted)} rows to take; mergekit: {bench.mergekit or 'not given'}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the checkpoints are deleted
    try:
        left = take(bench, todo)
    finally:
        for folder in places.values():
            shutil.rmtree(folder, ignore_errors=True)
    say("\n".join(["left out:", *left]) if left else "all rows taken")


if __name__ == "__main__":
    main()
