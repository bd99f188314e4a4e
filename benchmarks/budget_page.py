"""Tables and figures of docs/budget.md, out of results/budget.json.

python benchmarks/budget_page.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS, PAGE, FIGURES = ROOT / "benchmarks/results/budget.json", ROOT / "docs/budget.md", ROOT / "docs/figures"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
Row = dict[str, Any]
COLOURS = ("#2b6cb0", "#2f855a", "#c05621", "#805ad5")


def percent(text: str) -> float:
    """A budget as a number of percent; all is 100.

    Example:
        >>> percent("10%"), percent("none"), percent("0")
        (10.0, 100.0, 0.0)
    """
    return float(text.rstrip("%")) if text not in ("none", "inf", "naive") else 100.0


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """A table in Markdown."""
    head = list(head)
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(map(str, r))} |" for r in rows), ""]


def of(rows: list[Row], name: str, **wanted: Any) -> list[Row]:
    """Rows of a table that agree with what is wanted."""
    return [r for r in rows if r["table"] == name and all(r[k] == v for k, v in wanted.items())]


def values(rows: list[Row], key: str) -> list[Any]:
    """Values in order of first mention."""
    return list(dict.fromkeys(row[key] for row in rows))


def analysis(rows: list[Row]) -> list[str]:
    """What sketching costs."""
    found = of(rows, "analysis")
    if not found:
        return []
    body = [
        (r["models"], f"{r['bytes_read'] / 1e9:.2f} GB", f"{r['read_s']:.1f} s", f"{r['wall']:.1f} s",
         f"{r['ratio']:.2f}", f"{r['cpu']:.1f} s", f"{r['sketch_bytes'] / r['models'] / 1e6:.1f} MB", r["others"])
        for r in found
    ]  # fmt: skip
    head = ("models", "read", "one reading", "analyze", "ratio", "processor", "sketch of each", "cores busy elsewhere")
    return [f"### Analysis, source of {found[0]['rate']:g} MB/s", "", *table(head, body)]


def wall(rows: list[Row]) -> list[str]:
    """Bytes and wall time by budget."""
    lines: list[str] = []
    for method in values(of(rows, "wall"), "method"):
        found = of(rows, "wall", method=method)
        body = []
        for count in values(found, "models"):
            whole = next(r for r in found if r["models"] == count and r["budget"] == "none")
            for r in (r for r in found if r["models"] == count):
                other = f"{r['read'] / 1e9:.3f} GB" if r.get("read") is not None else "all"
                body.append((count, r["budget"], other, f"{r['bytes_read'] / 1e9:.2f} GB", f"{r['wall']:.1f} s",
                             f"{whole['wall'] / r['wall']:.1f}", f"{r['cpu']:.1f} s", r["others"]))  # fmt: skip
        head = ("models", "budget", "of other models", "read in all", "wall", "whole ÷ this", "processor", "others")
        lines += [f"### {method}, source of {found[0]['rate']:g} MB/s", "", *table(head, body)]
    return lines


def error(rows: list[Row]) -> list[str]:
    """Distances by budget."""
    lines: list[str] = []
    for method in values(of(rows, "error"), "method"):
        found = of(rows, "error", method=method)
        shares = values(found, "budget")
        body = []
        for count in values(found, "models"):
            for how in ("chosen", "random"):
                mine = {r["budget"]: r["error"] for r in found if r["models"] == count and r["how"] == how}
                body.append((count, how, *(f"{mine[s]:.3f}" for s in shares)))
            bounds = {r["budget"]: r["bound"] for r in found if r["models"] == count and r["how"] == "chosen"}
            if None not in bounds.values():
                body.append((count, "bound", *(f"{bounds[s]:.3f}" for s in shares)))
        lines += [f"### Distance to the whole merge, {method}", "", *table(("models", "blocks", *shares), body)]
    return lines


def accuracy(rows: list[Row]) -> list[str]:
    """Accuracy by budget."""
    found = of(rows, "accuracy")
    if not found:
        return []
    shares = values(found, "budget")
    body = []
    for seed in values(found, "seed"):
        for method in values(found, "method"):
            for how in ("chosen", "random"):
                mine = {r["budget"]: r["accuracy"] for r in of(found, "accuracy", seed=seed, method=method, how=how)}
                body.append((seed, method, how, *(f"{mine[s]:.1f}" if s in mine else "" for s in shares)))
    names = ["all" if s == "inf" else s for s in shares]
    return ["### Accuracy, eight experts of vision-8", "", *table(("seed", "method", "leaves", *names), body)]


def figures(rows: list[Row]) -> None:
    """The pictures."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "solera"
    draw_error(of(rows, "error"), FIGURES / "budget-error.svg")
    draw_wall(of(rows, "wall"), FIGURES / "budget-wall.svg")
    draw_accuracy(of(rows, "accuracy"), FIGURES / "budget-accuracy.svg")


def _axes(panels: int) -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, panels, figsize=(4.4 * panels, 3.6), layout="constrained", squeeze=False)
    for one in axes[0]:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes[0]


def _keep(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def draw_error(rows: list[Row], path: Path) -> None:
    """Distance against budget, chosen and random."""
    methods = values(rows, "method")
    if not methods:
        return
    figure, axes = _axes(len(methods))
    for one, method in zip(axes, methods, strict=True):
        mine = [r for r in rows if r["method"] == method]
        for count, colour in zip(values(mine, "models"), COLOURS, strict=False):
            for how, style in (("chosen", "-o"), ("random", ":")):
                line = [(percent(r["budget"]), r["error"]) for r in mine if (r["models"], r["how"]) == (count, how)]
                label = f"{count} models" if how == "chosen" else None
                one.plot(*zip(*line, strict=True), style, color=colour, ms=3, label=label)
        one.set(title=method, xlabel="budget, % of the other models' bytes", ylim=(0, 1.05))
    axes[0].set_ylabel("distance to the whole merge ÷ its change")
    axes[0].legend(frameon=False, fontsize=8, title="dotted: random blocks", title_fontsize=8)
    _keep(figure, path)


def draw_wall(rows: list[Row], path: Path) -> None:
    """Seconds against budget."""
    methods = values(rows, "method")
    if not methods:
        return
    figure, axes = _axes(len(methods))
    for one, method in zip(axes, methods, strict=True):
        mine = [r for r in rows if r["method"] == method]
        for count, colour in zip(values(mine, "models"), COLOURS, strict=False):
            line = sorted(
                (percent(r["budget"]), r["wall"]) for r in mine if r["models"] == count and r["budget"] != "naive"
            )
            one.plot(*zip(*line, strict=True), "-o", color=colour, ms=3, label=f"{count} models")
            for r in (r for r in mine if r["models"] == count and r["budget"] == "naive"):
                one.plot([100], [r["wall"]], "x", color=colour)
        one.set(title=method, xlabel="budget, % of the other models' bytes", ylim=(0, None))
    axes[0].set_ylabel("seconds")
    axes[0].legend(frameon=False, fontsize=8, title="x: naive merge", title_fontsize=8)
    _keep(figure, path)


def draw_accuracy(rows: list[Row], path: Path) -> None:
    """Accuracy against budget."""
    if not rows:
        return
    figure, axes = _axes(1)
    for method, colour in zip(values(rows, "method"), COLOURS, strict=False):
        for seed in values(rows, "seed"):
            mine = [r for r in rows if (r["method"], r["seed"]) == (method, seed)]
            for how, style in (("chosen", "-o"), ("random", ":")):
                ends = [r for r in mine if r.get("how") == how or r["budget"] in ("0", "inf")]
                line = sorted((percent(r["budget"]), r["accuracy"]) for r in ends)
                label = method if (seed, how) == (rows[0]["seed"], "chosen") else None
                axes[0].plot(*zip(*line, strict=True), style, color=colour, ms=3, label=label)
    axes[0].set(title="vision-8, eight experts", xlabel="budget, % of the experts' bytes", ylabel="accuracy, %")
    axes[0].legend(frameon=False, fontsize=8, title="dotted: random leaves", title_fontsize=8)
    _keep(figure, path)


def main() -> None:
    """Write the page's measured part and the figures."""
    rows = json.loads(RESULTS.read_text())
    figures(rows)
    dates = sorted({r["at"][:10] for r in rows if "at" in r})
    lines = [f"Measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))}." if dates else "", ""]
    for part in (analysis, wall, error, accuracy):
        lines += part(rows)
    text = PAGE.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text(head + BEGIN + "\n" + "\n".join(lines) + END + tail)


if __name__ == "__main__":
    main()
