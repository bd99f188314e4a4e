"""Figures of scores: along paths, over planes, along coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from solera.diagnose.figures.look import FAINT, SEQUENTIAL, axis_title, legend_beside, line_style, new, percent
from solera.diagnose.walking import MEAN

Record = Mapping[str, Any]
_MEAN = {"color": "black", "lw": 2.4, "marker": "o", "ms": 4}


def path(record: Record) -> Any:
    """Scores along the line between two models, with the barrier of the mean."""
    metrics = _metrics(record)
    title = f"From {record['ends'][0]} to {record['ends'][1]} in a straight line"
    figure, axes = new(title, columns=len(metrics), width=4.8)
    x = record["coefficients"]
    for each, metric in zip(axes, metrics, strict=True):
        _lines(each, x, record["scores"], metric)
        each.set(xlabel=f"λ: share of {record['ends'][1]}", ylabel=axis_title(metric))
        _barrier(each, record, metric)
    legend_beside(figure, axes[0])
    return figure


def _barrier(axes: Any, record: Record, metric: str) -> None:
    """The straight line between the mean's ends, and the deepest fall from it."""
    row = record["scores"][MEAN].get(metric)
    found = record["barriers"][MEAN].get(metric)
    if row is None or found is None:
        return
    scale = percent(metric)
    axes.plot([0, 1], [scale * row[0], scale * row[-1]], color=FAINT, ls="--", lw=1, label="straight line")
    place = record["coefficients"].index(found["at"])
    if found["height"] > 0:
        line = (1 - found["at"]) * row[0] + found["at"] * row[-1]
        arrow = {"arrowstyle": "<->", "color": "black", "lw": 1.2}
        axes.annotate("", (found["at"], scale * line), (found["at"], scale * row[place]), arrowprops=arrow)
    unit = "points" if scale > 1 else "nats" if metric == "loss" else ""
    where = f" at λ = {found['at']:.2g}" if found["height"] else ""
    axes.set_title(f"barrier of the mean: {scale * found['height']:.3g} {unit}{where}", fontsize=10, loc="left")


def plane(record: Record) -> Any:
    """Filled contours of the mean over tasks on the plane through three models."""
    metrics = [metric for metric in _metrics(record) if metric in record["scores"][MEAN]]
    figure, axes = new("The plane through three models, mean over tasks", columns=len(metrics), width=5.0, height=4.4)
    for each, metric in zip(axes, metrics, strict=True):
        values = percent(metric) * np.array(record["scores"][MEAN][metric])
        filled = each.contourf(record["x"], record["y"], values, levels=12, cmap=_map(metric))
        figure.colorbar(filled, ax=each, label=axis_title(metric), shrink=0.85)
        _corners(each, record)
        each.set(xlabel="distance in weight space", ylabel="distance in weight space", aspect="equal")
    return figure


def _map(metric: str) -> str:
    """Bright is good."""
    return f"{SEQUENTIAL}_r" if metric == "loss" else SEQUENTIAL


def _corners(axes: Any, record: Record) -> None:
    from matplotlib.patheffects import withStroke

    middle = np.mean(record["points"], axis=0)
    for name, point in zip(record["corners"], record["points"], strict=True):
        axes.plot(*point, "o", ms=7, color="white", mec="black")
        below = point[1] < middle[1]
        place = {"xytext": (0, -9 if below else 9), "textcoords": "offset points", "va": "top" if below else "bottom"}
        text = axes.annotate(name, point, ha="center", fontsize=10, **place)
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])


def sweep(record: Record) -> Any:
    """The inverted U: scores along the coefficient of task arithmetic."""
    figure, (axes,) = new("Task arithmetic: base + λ × sum of task vectors", width=6.6)
    table, x = record["normalised"], record["coefficients"]
    shown = {task: {"share": row} for task, row in table.items()}
    if not shown:
        shown = {task: {"share": row[_head(record, task)]} for task, row in record["scores"].items()}
    _lines(axes, x, shown, "share", scale=100)
    axes.axvline(record["average"], color=FAINT, ls="--", lw=1)
    place = {"xycoords": axes.get_xaxis_transform(), "xytext": (4, 2), "textcoords": "offset points"}
    axes.annotate("average", (record["average"], 0), fontsize=9, color=FAINT, **place)
    if MEAN in table:
        best = max(range(len(x)), key=table[MEAN].__getitem__)
        axes.plot(x[best], 100 * table[MEAN][best], "*", ms=14, color="black")
        axes.set_title(
            f"best mean {100 * table[MEAN][best]:.1f} % at λ = {x[best]:.3g} (star)", fontsize=10, loc="left"
        )
    axes.set(xlabel="λ", ylabel="score relative to the task's expert (%)" if table else "score (%)")
    legend_beside(figure, axes)
    return figure


def has_stages(record: Record) -> bool:
    """Whether some task tells answers of one end from those of the other."""
    return any(found["bounds"] for found in record["stages"].values())


def stages(record: Record) -> Any:
    """Score and answer length along the path, with the three stages shaded, one column per task."""
    found = {task: row for task, row in record["stages"].items() if row["bounds"]}
    title = f"Three stages from {record['ends'][0]} to {record['ends'][1]}"
    figure, axes = new(title, columns=len(found), width=4.8)
    for each, (task, row) in zip(axes, found.items(), strict=True):
        metric = record["tasks"][task]["metric"]
        score = percent(metric) * np.array(record["scores"][task][metric])
        each.plot(record["coefficients"], score, marker="o", ms=4, label=axis_title(metric), **line_style(0))
        each.set(xlabel=f"λ: share of {record['ends'][1]}", ylabel=axis_title(metric))
        each.set_title(f"{task}; stages 1 to 3 by answer length", fontsize=10, loc="left", pad=18)
        other = each.twinx()
        other.plot(record["coefficients"], row["length"], marker="s", ms=4, label=axis_title("length"), **line_style(5))
        other.set_ylabel(axis_title("length"), color=line_style(5)["color"])
        other.set_ylim(bottom=0)
        each.yaxis.label.set_color(line_style(0)["color"])
        _shade(each, row["bounds"])
    return figure


def _shade(axes: Any, bounds: Sequence[float | None]) -> None:
    edges = [0.0, *(1.0 if bound is None else bound for bound in bounds), 1.0]
    for i, (low, high) in enumerate(pairwise(edges)):
        if high > low:
            axes.axvspan(low, high, color=FAINT, alpha=(0.05, 0.18, 0.05)[i], lw=0)
            place = {"x": (low + high) / 2, "y": 1.01, "transform": axes.get_xaxis_transform()}
            axes.text(s=str(i + 1), ha="center", fontsize=10, color=FAINT, **place)


def _lines(
    axes: Any, x: Sequence[float], scores: Mapping[str, Mapping[str, Sequence[float]]], metric: str, **options: Any
) -> None:
    scale = options.get("scale", percent(metric))
    rows = {task: table[metric] for task, table in scores.items() if metric in table}
    for i, (task, row) in enumerate(rows.items()):
        if task != MEAN:
            axes.plot(x, scale * np.array(row), lw=1.3, label=task, **line_style(i))
    if MEAN in rows and len(rows) > 2:
        axes.plot(x, scale * np.array(rows[MEAN]), label=MEAN, **_MEAN)


def _metrics(record: Record) -> list[str]:
    """The tasks' headlines, then the loss where it is measured and no headline."""
    heads = list(dict.fromkeys(row["metric"] for row in record["tasks"].values()))
    loss = any("loss" in table for table in record["scores"].values())
    return [*heads, *(["loss"] if loss and "loss" not in heads else [])]


def _head(record: Record, task: str) -> str:
    return str(record["tasks"].get(task, next(iter(record["tasks"].values())))["metric"])
