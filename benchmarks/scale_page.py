"""The page on large merges: what plans and measured rates come to, in tables and a figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GB = 1e9
CORES = 16
"""Workers on a node of the simulated cluster."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where inputs and output lie: GB/s that one node gets, and that all together get."""

    short: str
    name: str
    link: float
    total: float

    def speed(self, nodes: int) -> float:
        """Bytes a second for that many nodes."""
        return min(self.link * nodes, self.total) * GB


STORAGES = (
    Storage("NVMe", "disks of one machine, 6 GB/s", 6, 6),
    Storage("server", "a file server, 1.2 GB/s to each node, 6 GB/s in all", 1.2, 6),
    Storage(
        "wide",
        "a parallel file system or an object store, 2.5 GB/s to each node, without a limit in all",
        2.5,
        float("inf"),
    ),
)
FLEETS = (1, 4, 16)
"""Nodes."""


def wall(job: Mapping[str, Any], rate: float, storage: Storage, nodes: int) -> float:
    """Seconds: the slowest of storage, workers, and the largest tensor on one worker."""
    moved, (nbytes, elements) = job["read"] + job["written"], job["largest"]
    computed = job["parameters"] * job["models"] / (rate * CORES * nodes)
    alone = max(nbytes / storage.speed(1), elements / rate)
    return max(moved / storage.speed(nodes), computed, alone)


def rate_of(result: Mapping[str, Any], row: Mapping[str, Any]) -> float:
    """The measured rate for a plan's method and number of models."""
    same = (r for r in result["rates"] if (r["method"], r["models"]) == (row["method"], row["models"]))
    return float(next(same)["rate"])


def duration(seconds: float) -> str:
    """Seconds in words.

    Example:
        >>> duration(0.31), duration(42), duration(5400), duration(300)
        ('0.3 s', '42 s', '1.5 h', '5 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def amount(nbytes: float) -> str:
    """Bytes in words.

    Example:
        >>> amount(2.8e13), amount(4.2e10), amount(5e6)
        ('28 TB', '42 GB', '5.0 MB')
    """
    for unit, word in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if nbytes >= unit:
            value = nbytes / unit
            return f"{value:.0f} {word}" if value >= 10 else f"{value:.1f} {word}"
    return f"{nbytes / 1e3:.0f} kB"


def grid(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def plan_table(result: Mapping[str, Any]) -> str:
    """What the plans say."""
    head = [
        "size",
        "models",
        "method",
        "per worker",
        "tensors",
        "reads",
        "writes",
        "passes",
        "predicted peak",
        "planning",
        "sent",
    ]
    lines = [
        [
            f"{r['size']} B", str(r["models"]), r["method"], f"{r['memory']} MiB", f"{r['tensors']:,}",
            amount(r["read"]), amount(r["written"]), str(r["passes"]), amount(r["peak"]), duration(r["planning"]),
            amount(r["sent"]),
        ]
        for r in result["plans"]
    ]  # fmt: skip
    return grid(head, lines)


def wall_table(result: Mapping[str, Any]) -> str:
    """Predicted wall time with the most memory per worker, and node hours on the widest storage."""
    spots = [(s, n) for s in STORAGES for n in (FLEETS[:1] if s.link == s.total else FLEETS)]
    head = ["size", "models", "method", "per worker", *(f"{s.short}, {n} node{'s' * (n > 1)}" for s, n in spots)]
    lines = []
    for row in _roomiest(result["plans"]):
        walls = [wall(row, rate_of(result, row), storage, nodes) for storage, nodes in spots]
        hours = f"{walls[-1] * spots[-1][1] / 3600:.2g}"
        named = [f"{row['size']} B", str(row["models"]), row["method"], f"{row['memory']} MiB"]
        lines.append([*named, *map(duration, walls), hours])
    where = "; ".join(f"{s.short}: {s.name}" for s in STORAGES)
    return f"{CORES} workers per node. {where}.\n\n" + grid([*head, "node hours, last column"], lines)


def _roomiest(plans: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of plans that differ in memory alone, the one with the most."""
    best: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in plans:
        key = row["size"], row["models"], row["method"]
        if key not in best or row["memory"] > best[key]["memory"]:
            best[key] = row
    return list(best.values())


def rate_table(result: Mapping[str, Any]) -> str:
    """What one worker can do."""
    head = ["method", "models", "reads", "CPU", "models' elements per second", "counted over planned bytes"]
    return grid(head, [
        [r["method"], str(r["models"]), amount(r["read"]), f"{r['seconds']:.2f} s", f"{r['rate'] / 1e6:.0f} million",
         f"{r['read'] / r['planned']:.3f}"]
        for r in result["rates"]
    ])  # fmt: skip


def figure(result: Mapping[str, Any], path: Path) -> None:
    """Wall time against nodes, for the largest number of models."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    nodes = [1, 2, 4, 8, 16, 32, 64]
    most, methods = max(r["models"] for r in result["plans"]), list(dict.fromkeys(r["method"] for r in result["plans"]))
    drawn, axes = plt.subplots(1, len(methods), figsize=(9.5, 3.8), layout="constrained", sharey=True)
    colours = ("#2b6cb0", "#c05621", "#2f855a")
    for axis, method in zip(axes, methods, strict=True):
        for style, storage in zip(("--", "-"), STORAGES[1:], strict=True):
            for colour, row in zip(colours, _of(result, most, method), strict=False):
                walls = [wall(row, rate_of(result, row), storage, n) / 60 for n in nodes]
                label = f"{row['size']} B" if style == "-" else None
                axis.plot(nodes, walls, style, color=colour, label=label)
        axis.set(xscale="log", yscale="log", xlabel=f"nodes of {CORES} workers")
        axis.set_xticks(nodes, [str(n) for n in nodes])
        axis.set_title(f"{method}, {most} models", loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("predicted wall, minutes")
    axes[0].legend(frameon=False, fontsize=9, title="dashed: file server, 6 GB/s in all", title_fontsize=8)
    drawn.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(drawn)


def _of(result: Mapping[str, Any], models: int, method: str) -> list[Mapping[str, Any]]:
    return [r for r in _roomiest(result["plans"]) if (r["models"], r["method"]) == (models, method)]


def put(page: Path, tables: Mapping[str, str]) -> None:
    """Replace what stands between the marks of a page."""
    text = page.read_text()
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{table}\n{end}{after}"
    page.write_text(text)
