"""The page's figures, drawn from the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from methods import TRIALS
from targets import MIB, Rows, merge

OURS, FLOOR, THEIRS = "#2b6cb0", "#718096", "#c05621"
FOLLOWED = ("linear", "ties", "ties (whole model)", "sce", "della")
UNDER = "floor, with a base"
SIZES = ("tiny", "0.1", "0.5", "1.1", "3", "7")
COUNTS = (2, 3, 8, 20)
Series = dict[str, list[tuple[float, float]]]


def _new(title: str, width: float = 7.0, height: float = 4.0) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _keep(figure: Any, path: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path


def methods(rows: Rows, path: Path, size: str = "0.1") -> Path | None:
    """Wall time per method beside the floor, with the start-up marked off."""
    found = {name: row for name in TRIALS if (row := merge(rows, name, size))}
    if not found:
        return None
    figure, axes = _new(f"{size} B parameters, K = 3, files in memory, two workers: seconds", 7.5, 6.2)
    names = list(found)[::-1]
    tiny = [min(_wall(rows, name, "tiny"), found[name]["ours"]["wall"]) for name in names]
    work = [found[name]["ours"]["wall"] - start for name, start in zip(names, tiny, strict=True)]
    axes.barh(names, tiny, 0.6, color="#bee3f8", label="start-up (a merge of tiny models)")
    axes.barh(names, work, 0.6, left=tiny, color=OURS, label="the rest of the process")
    floors = [found[name]["floor"]["seconds"] for name in names]
    axes.scatter(floors, names, marker="|", s=160, color="black", zorder=3, label="floor: read once, write once")
    axes.legend(frameon=False, fontsize=9)
    return _keep(figure, path)


def _wall(rows: Rows, method: str, size: str) -> float:
    row = merge(rows, method, size)
    return float(row["ours"]["wall"]) if row else 0.0


def _drawn(series: Series) -> bool:
    """Whether anything has two points."""
    return any(len(points) > 1 for points in series.values())


def _lines(axes: Any, series: Series) -> None:
    for i, (name, points) in enumerate(series.items()):
        if len(points) > 1:
            look = {"color": FLOOR, "ls": "--"} if name == UNDER else {"color": f"C{i}"}
            axes.plot(*zip(*points, strict=True), marker="o", ms=4, lw=1.6, label=name, **look)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)


def by_size(rows: Rows, path: Path) -> Path | None:
    """Wall time against parameters; the slope is what a parameter costs."""
    series: Series = {name: [] for name in (*FOLLOWED, UNDER)}
    for size in SIZES:
        for name in FOLLOWED:
            if row := merge(rows, name, size):
                series[name].append((row["parameters"] / 1e9, row["ours"]["wall"]))
        if row := merge(rows, "ties", size):
            series[UNDER].append((row["parameters"] / 1e9, row["floor"]["seconds"]))
    if not _drawn(series):
        return None
    figure, axes = _new("Growth with size, K = 3, files in memory")
    axes.set(xlabel="billion parameters", ylabel="seconds, whole process")
    _lines(axes, series)
    return _keep(figure, path)


def by_count(rows: Rows, path: Path, size: str = "0.1") -> Path | None:
    """Wall time against the number of models."""
    series = {
        name: [(k, row["ours"]["wall"]) for k in COUNTS if (row := merge(rows, name, size, k))] for name in FOLLOWED
    }
    series[UNDER] = [(k, row["floor"]["seconds"]) for k in COUNTS if (row := merge(rows, "ties", size, k))]
    if not _drawn(series):
        return None
    figure, axes = _new(f"Growth with the number of models, {size} B, files in memory")
    axes.set(xlabel="models", ylabel="seconds, whole process", xticks=COUNTS)
    _lines(axes, series)
    return _keep(figure, path)


def peaks(rows: Rows, path: Path) -> Path | None:
    """Peak resident memory against parameters, and mergekit's where it ran."""
    series: Series = {name: [] for name in FOLLOWED}
    theirs: list[tuple[float, float]] = []
    for size in SIZES:
        for name in FOLLOWED:
            if row := merge(rows, name, size) or merge(rows, name, size, place="disk"):
                series[name].append((row["parameters"] / 1e9, row["peak_rss"] / MIB))
        if (row := merge(rows, "ties", size)) and row["theirs"]:
            theirs.append((row["parameters"] / 1e9, row["theirs"]["peak_rss"] / MIB))
    if not _drawn(series):
        return None
    figure, axes = _new("Peak resident memory, K = 3")
    axes.set(xlabel="billion parameters", ylabel="MiB")
    axes.axhline(600, color=FLOOR, lw=1, ls="--")
    axes.annotate("600 MiB", (0, 600), textcoords="offset points", xytext=(2, 3), fontsize=9, color="#4a5568")
    if theirs:
        axes.plot(*zip(*theirs, strict=True), "s", ms=5, color=THEIRS, label="mergekit 0.1.5, ties")
    _lines(axes, series)
    return _keep(figure, path)


def draw(rows: Rows, folder: Path) -> list[tuple[Path, str]]:
    """Draw all; (file, caption) of each."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = [
        (methods(rows, folder / "wall.png"), "Wall time of the whole process per method, beside the floor."),
        (by_size(rows, folder / "size.png"), "Growth with size; the slope is the cost without start-up."),
        (by_count(rows, folder / "models.png"), "Growth with the number of models."),
        (peaks(rows, folder / "memory.png"), "Peak resident memory against size."),
    ]
    return [(path, caption) for path, caption in figures if path is not None]
