"""The backend `ray` beside `threads`: one machine, two workers each, the same plan, in turn, on a cluster that runs.

python benchmarks/many.py [--size 0.1] [--repeat 7] [--data FOLDER] [--page docs/scale.md]

Both merge in one process that is warm: a first merge of each is not counted. Files are in memory. Writes
results/many.json and the table between the marks of the page.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import checkpoints
from measure import busy_seconds
from results import machine
from scale_page import grid, put

HERE = Path(__file__).parent
RESULT = HERE / "results" / "many.json"
WORKERS = 2
METHODS: dict[str, tuple[bool, dict[str, Any]]] = {
    "linear": (False, {}),
    "ties": (True, {"density": 0.2}),
    "ties (official)": (True, {"density": 0.2}),
}
OWED = 1.15


def start() -> float:
    """Start a cluster on this machine; seconds."""
    from solera.execute.many.cluster import OWN, the_ray

    began = time.monotonic()
    the_ray().init(address="local", num_cpus=WORKERS, log_to_driver=False, configure_logging=False, **OWN)
    return time.monotonic() - began


def once(recipe: Any, out: Path, backend: str) -> dict[str, Any]:
    """One merge: seconds, digest, and the cores that were busy."""
    import solera

    shutil.rmtree(out, ignore_errors=True)
    options = {"threads": WORKERS} if backend == "threads" else {"backend": "ray", "workers": WORKERS}
    busy, began = busy_seconds(), time.monotonic()
    report = solera.merge(recipe, out, **options)
    wall = time.monotonic() - began
    shutil.rmtree(out)
    return {"wall": wall, "busy": (busy_seconds() - busy) / wall, "digest": report.digest}


def compared(data: Path, method: str, repeat: int) -> dict[str, Any]:
    """Merges by both backends in turn."""
    from solera.recipe import from_options

    based, parameters = METHODS[method]
    name, _, whole = method.partition(" (")
    recipe = from_options(
        [str(data / f"e{k}") for k in range(3)], base=str(data / "base") if based else None, method=name,
        parameters=parameters, variant="official" if whole else None,
    )  # fmt: skip
    runs: dict[str, list[dict[str, Any]]] = {"threads": [], "ray": []}
    for turn in range(repeat + 1):
        for backend in ("threads", "ray") if turn % 2 else ("ray", "threads"):
            row = once(recipe, data / "out", backend)
            if turn:
                runs[backend].append(row)
        print(method, turn, {k: round(v[-1]["wall"], 2) for k, v in runs.items() if v}, flush=True)
    if len({row["digest"] for rows in runs.values() for row in rows}) != 1:
        raise SystemExit(f"{method}: the backends disagree")
    return {"method": method, "runs": runs}


def table(result: dict[str, Any]) -> str:
    """Wall times, and the ratio of pairs."""
    lines = []
    for row in result["rows"]:
        threads, ray = ([run["wall"] for run in row["runs"][name]] for name in ("threads", "ray"))
        middle = statistics.median(b / a for a, b in zip(threads, ray, strict=True))
        best = min(ray) / min(threads)
        said = "met" if middle <= OWED else "**not met**"
        lines.append(
            [row["method"], f"{min(threads):.2f} s", f"{min(ray):.2f} s", f"{best:.2f}", f"{middle:.2f}", said]
        )  # fmt: skip
    head = ["method", "threads, best", "ray, best", "ratio of the best", "median ratio of pairs", f"owes ≤ {OWED}"]
    busy = max(run["busy"] for row in result["rows"] for rows in row["runs"].values() for run in rows)
    said = (
        f"{result['machine']}, {result['date']}, code `{result['code']}`; {result['size']} B x 3, {WORKERS} workers, "
        f"{result['repeat']} pairs; the cluster took {result['start']:.1f} s to start. Load average before: "
        f"{result['load']:.1f}; at most {busy:.1f} of {result['cores']} cores were busy during a merge.\n"
    )
    return f"{said}\n{grid(head, lines)}"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="0.1", choices=checkpoints.SIZES)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--data", type=Path, default=Path("/dev/shm/solera-many"))
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "scale.md")
    parser.add_argument("--show", action="store_true", help="write the page from the results that are there")
    options = parser.parse_args()
    if not options.show:
        os.environ |= {"SOLERA_CATALOG": "off"}
        checkpoints.write(options.data, checkpoints.SIZES[options.size], 3)
        load, began = os.getloadavg()[0], start()
        result = {
            "date": time.strftime("%Y-%m-%d", time.gmtime()), **machine(), "cores": os.cpu_count(),
            "size": options.size, "repeat": options.repeat, "start": began, "load": load,
            "rows": [compared(options.data, method, options.repeat) for method in METHODS],
        }  # fmt: skip
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
        shutil.rmtree(options.data)
    put(options.page, {"many": table(json.loads(RESULT.read_text()))})


if __name__ == "__main__":
    main()
