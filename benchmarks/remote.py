"""Merging from S3 on loopback: the server's own ranged throughput, beside what a merge reads; results and table.

python benchmarks/remote.py [--size 256] [--models 2] [--connections 16] [--trials 3] [--page]

moto's server runs in a process of its own, and is the bottleneck: it reads the whole object for every range. "Server"
is the time of plain obstore requests for the same bytes, over as many connections, each as long as those of a merge
("same requests"), and of obstore's own `get_ranges` ("library"). Both and the merge run in turn; the best of the trials
counts. Writes benchmarks/results/remote.json; --page writes the table of docs/remote.md from it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from results import machine
from safetensors.numpy import save_file

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results" / "remote.json", HERE.parent / "docs" / "remote.md"
BEGIN, END = "<!-- table: benchmarks/remote.py --page -->", "<!-- end of table -->"
BUCKET = "bench-models"
MIB = 1 << 20


@contextmanager
def server() -> Iterator[None]:
    """The server (moto's), named by the environment."""
    script = HERE.parent / "tests" / "remote" / "s3_process.py"
    with subprocess.Popen([sys.executable, script], stdin=-1, stdout=-1, stderr=-3, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "us-east-1"}
        os.environ.update(keys, AWS_ENDPOINT_URL=endpoint, SOLERA_CATALOG="off")
        yield
        process.stdin.close()
        process.wait(20)


def uploaded(folder: Path, count: int, mib: int) -> list[str]:
    """Make models of some matrices, and put them into a new bucket: their addresses."""
    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    client.create_bucket(Bucket=BUCKET)
    rng = np.random.default_rng(0)
    rows = 1024
    names = [f"model.layers.{i}.mlp.up_proj.weight" for i in range(max(1, mib * MIB // (rows * rows * 4)))]
    for k in range(count):
        path = folder / f"m{k}.safetensors"
        save_file({name: rng.standard_normal((rows, rows), dtype=np.float32) for name in names}, path)
        client.upload_file(str(path), BUCKET, f"m{k}/model.safetensors")
        path.unlink()
    return [f"s3://{BUCKET}/m{k}" for k in range(count)]


def plain_requests(addresses: list[str], connections: int, longest: int) -> int:
    """Every byte of the models by plain ranged requests, as long as a merge's: bytes."""
    import obstore
    from obstore.store import from_url

    stores = [from_url(address, client_options={"allow_http": True}) for address in addresses]
    sizes = [obstore.head(store, "model.safetensors")["size"] for store in stores]
    spans = [(k, low) for low in range(0, max(sizes), longest) for k in range(len(stores)) if low < sizes[k]]

    def get(span: tuple[int, int]) -> int:
        k, low = span
        options: Any = {"range": (low, min(low + longest, sizes[k]))}
        return memoryview(obstore.get(stores[k], "model.safetensors", options=options).bytes()).nbytes

    with ThreadPoolExecutor(connections) as pool:
        return sum(pool.map(get, spans))


def library_ranges(addresses: list[str], longest: int) -> int:
    """The same through obstore's `get_ranges`, which joins what touches, one model after the other: bytes."""
    import obstore
    from obstore.store import from_url

    total = 0
    for address in addresses:
        store = from_url(address, client_options={"allow_http": True})
        size = obstore.head(store, "model.safetensors")["size"]
        starts = list(range(0, size, longest))
        ends = [min(start + longest, size) for start in starts]
        found = obstore.get_ranges(store, "model.safetensors", starts=starts, ends=ends)
        total += sum(memoryview(data).nbytes for data in found)
    return total


def merged(addresses: list[str], method: str, folder: Path) -> int:
    """A whole merge into memory-backed files: bytes read."""
    import shutil

    from solera import app
    from solera.recipe import parse

    text = {"linear": "method: linear", "ties": f"method: ties\nbase: {addresses[0]}"}[method]
    models = addresses if method == "linear" else addresses[1:]
    report = app.merge(parse(f"{text}\nmodels: [{', '.join(models)}]\n"), folder / "out")
    shutil.rmtree(folder / "out")
    return report.bytes_read


def best(work: Mapping[str, Callable[[], int]], trials: int) -> dict[str, dict[str, float]]:
    """Every piece of work in turn, some times: bytes, the best seconds, MiB per second."""
    found: dict[str, dict[str, float]] = {}
    for _ in range(trials):
        for name, run in work.items():
            began, cpu = time.perf_counter(), time.process_time()
            nbytes = run()
            seconds, own = time.perf_counter() - began, time.process_time() - cpu
            print(f"{name}: {nbytes / MIB:.0f} MiB in {seconds:.2f} s", file=sys.stderr, flush=True)
            if name not in found or seconds < found[name]["seconds"]:
                rate = round(nbytes / MIB / seconds, 1)
                found[name] = {"bytes": nbytes, "seconds": round(seconds, 3), "mib_s": rate, "cpu_s": round(own, 2)}
    return found


def measure(size: int, models: int, connections: int, trials: int) -> dict[str, Any]:
    """All figures."""
    from solera.checkpoints.remote.reading import AHEAD, LONGEST

    threads = os.cpu_count() or 1
    longest = max(MIB, min(LONGEST, AHEAD // (models * (threads + 1))))
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with server(), tempfile.TemporaryDirectory(dir=memory) as folder:
        os.environ["SOLERA_CACHE"] = folder
        addresses = uploaded(Path(folder), models, size)
        merged(addresses[:1] * 2, "linear", Path(folder))  # kernels are compiled, the server has warmed up
        work = {
            "same requests": lambda: plain_requests(addresses, connections, longest),
            "library": lambda: library_ranges(addresses, longest),
            "linear": lambda: merged(addresses, "linear", Path(folder)),
            "ties": lambda: merged(addresses, "ties", Path(folder)),
        }
        rows = best(work, trials)
    share = {name: round(rows[name]["mib_s"] / rows["same requests"]["mib_s"], 3) for name in ("linear", "ties")}
    asked = {"models": models, "mib_each": size, "connections": connections, "request_mib": longest / MIB}
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return {
        **asked,
        "trials": trials,
        "rows": rows,
        "share": share,
        "load": os.getloadavg()[0],
        "date": date,
        **machine(),
    }


def table(found: Mapping[str, Any]) -> str:
    """The table of the page."""
    words = {
        "same requests": f"plain requests of {found['request_mib']:g} MiB, {found['connections']} connections",
        "library": "obstore's `get_ranges`, one model after the other",
        "linear": "`solera merge`, linear",
        "ties": "`solera merge`, TIES",
    }
    lines = ["| what | MiB/s | of the server's own | processor s |", "|---|---|---|---|"]
    for name, row in found["rows"].items():
        share = f"{found['share'][name]:.0%}" if name in found["share"] else ""
        lines.append(f"| {words[name]} | {row['mib_s']:.0f} | {share} | {row['cpu_s']:.1f} |")
    met = all(share >= 0.7 for share in found["share"].values())
    said = f"{found['models']} models of {found['mib_each']} MiB, best of {found['trials']}, {found['date']}, "
    said += f"load {found['load']:.0f} on {found['machine']}, code {found['code']}."
    return "\n".join([*lines, "", f"Target, 70 % of the server's own: {'met' if met else 'missed'}. {said}"])


def write_page() -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    made = table(json.loads(RESULTS.read_text(encoding="utf-8")))
    PAGE.write_text(f"{head}{BEGIN}\n{made}\n{END}{tail}", encoding="utf-8")


def main() -> None:
    """Measure, or write the page."""
    options = argparse.ArgumentParser(description=__doc__)
    for name, default in (("size", 256), ("models", 2), ("connections", 16), ("trials", 3)):
        options.add_argument(f"--{name}", type=int, default=default)
    options.add_argument("--page", action="store_true", help="write the table from the results that are there")
    asked = options.parse_args()
    if not asked.page:
        found = measure(asked.size, asked.models, asked.connections, asked.trials)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_page()


if __name__ == "__main__":
    main()
