"""The figure of docs/testbeds.md: what base, average, experts and ceilings score on every task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
LOOKS: Mapping[str, tuple[str, str, str]] = {
    "base": ("o", "#718096", "base"),
    "average": ("D", "#0072B2", "average of the experts"),
    "adapter": ("^", "#E69F00", "the task's LoRA expert"),
    "expert": ("o", "#009E73", "the task's expert"),
    "ceiling": ("|", "black", "from scratch for the task"),
    "mixtral": ("s", "#CC79A7", "moe-8: Mixtral"),
    "qwen3": ("P", "#56B4E9", "moe-8: Qwen3-MoE"),
    "ends": ("o", "#009E73", "seeds-4: a network by itself"),
    "middle": ("X", "#D55E00", "seeds-4: the mean of two"),
}
"""Line -> marker, colour, words; colours that the colour-blind tell apart."""
METRICS = {"accuracy": "accuracy (%)", "exact": "exact match (%)"}


def families(row: Row) -> dict[str, dict[str, list[float]]]:
    """Task -> line -> scores, of a base and its experts."""
    lines = [line for line in LOOKS if line in row["scores"]]
    return {task: {line: [row["scores"][line][task]] for line in lines} for task in row["scores"]["base"]}


def mixtures(row: Row) -> dict[str, dict[str, list[float]]]:
    """Task -> model -> score, of mixtures of experts."""
    tasks = next(iter(row["loads"].values()))["scores"]
    return {task: {kind: [found["scores"][task]] for kind, found in row["loads"].items()} for task in tasks}


def seeds(row: Row) -> dict[str, dict[str, list[float]]]:
    """Two networks -> what they score on all digits by themselves, and their mean."""
    pairs = {title: path["accuracy"] for title, path in row["paths"].items()}
    return {
        title.replace(" ", " + "): {"ends": [line[0], line[-1]], "middle": [line[len(line) // 2]]}
        for title, line in pairs.items()
    }


def table(row: Row) -> dict[str, dict[str, list[float]]]:
    """What the panel of a testbed shows."""
    return mixtures(row) if "loads" in row else seeds(row) if "paths" in row else families(row)


def panel(axes: Any, row: Row) -> None:
    """One testbed: tasks from top to bottom, points from left to right."""
    rows = table(row)
    for y, found in enumerate(rows.values()):
        values = [x for line in found.values() for x in line]
        axes.plot([min(values), max(values)], [y, y], color="#cbd5e0", lw=2, zorder=1)
        for line, each in found.items():
            marker, colour, _ = LOOKS[line]
            face = "white" if line == "base" else colour
            size = {"|": 130, "base": 60}.get(line if line == "base" else marker, 34)
            axes.scatter(each, [y] * len(each), marker=marker, s=size, color=colour, facecolor=face, zorder=3)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlim(-3, 103)
    metric = next(iter(row["tasks"].values()))["metric"]
    axes.set_xlabel(f"{METRICS[metric]}, {_items(row)} test items a task")
    axes.set_title(f"{row['testbed']}, {row['size']}, seed {row['seed']}", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#edf2f7", zorder=0)


def _items(row: Row) -> str:
    asked = [row["tasks"]["digits"]] if "paths" in row else row["tasks"].values()
    counts = sorted({task["test"] for task in asked})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def draw(rows: list[Row], path: Path) -> Path:
    """All panels and one legend, as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(2, 3, figsize=(12.6, 7.8), layout="constrained")
    figure.suptitle("What base, average and experts score on every task", x=0.01, ha="left", fontsize=13)
    figure.get_layout_engine().set(h_pad=0.09, w_pad=0.06)
    cells = list(grid.flat)
    for axes, row in zip(cells, rows, strict=False):
        panel(axes, row)
    for axes in cells[len(rows) :]:
        axes.axis("off")
    used = {line for row in rows for found in table(row).values() for line in found}
    marks = [_mark(line) for line in LOOKS if line in used]
    cells[-1].legend(handles=marks, frameon=False, fontsize=10.5, loc="center left", labelspacing=0.9)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path


def _mark(line: str) -> Any:
    from matplotlib.lines import Line2D

    marker, colour, words = LOOKS[line]
    face = "white" if line == "base" else colour
    size = 12 if marker == "|" else 7
    return Line2D([], [], ls="", marker=marker, ms=size, color=colour, markerfacecolor=face, label=words)
