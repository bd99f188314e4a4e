"""Draw every figure of docs/diagnose.md, from the testbed vision-8 (size small, seed 0), and write its table.

    make figures            or: python benchmarks/diagnose.py

The base and four of its eight experts, as the testbed in the cache has them; built first where it is not there. Scores
are of validation images. What is in the table goes into results/diagnose.json, under the testbed's digest. Less than a
minute of one core.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from beside import put

ROOT = Path(__file__).parents[1]
OUT, RESULT = ROOT / "docs" / "figures" / "diagnose", ROOT / "benchmarks" / "results" / "diagnose.json"
PAGE = ROOT / "docs" / "diagnose.md"
EXPERTS = ("permuted", "rotated", "inverted", "parity")
STEPS = 13
Found = Mapping[str, Any]


def measured(built: Any) -> dict[str, Any]:
    """What `solera diagnose` finds of the base and the four experts, and on the way between them."""
    from solera import testbeds
    from solera.cli.progress import display
    from solera.diagnose import along_path, diagnose, on_plane, sweep

    paths = {name: built.experts[name] for name in EXPERTS}
    known = {task.name: task for task in testbeds.tasks(built, "validation")}
    asked = [known[name] for name in EXPERTS]
    permuted, rotated, inverted, parity = paths.values()
    load = testbeds.testbed(built.name).load
    with display() as listener:
        return {
            "weights": diagnose(list(paths.values()), built.base, on_event=listener),
            "path": along_path(load, (permuted, parity), [asked[0], asked[3]], on_event=listener),
            "plane": on_plane(load, (permuted, rotated, inverted), asked[:3], steps=STEPS, on_event=listener),
            "sweep": sweep(load, built.base, paths, asked, on_event=listener),
        }


def pairs(table: list[list[float | None]]) -> list[float]:
    """What a table says of different models.

    Example:
        >>> pairs([[1.0, 0.2], [None, 1.0]])
        [0.2]
    """
    return [x for i, row in enumerate(table) for j, x in enumerate(row) if i != j and x is not None]


def span(values: Iterable[float]) -> list[float]:
    """Least, mean and most, to four digits; nothing of nothing."""
    kept = list(values)
    return [round(x, 4) for x in (min(kept), sum(kept) / len(kept), max(kept))] if kept else []


def numbers(found: Found) -> dict[str, Any]:
    """What the figures show, in numbers: spans are least, mean and most over pairs or models."""
    weights, total, groups = found["weights"], found["weights"]["total"], found["weights"]["by_layer"]
    layers = {key: row for key, row in groups.items() if key.isdigit()}
    ratio = weights["subspace"]["mean"]["total"]
    ranks = [m["effective_rank"] / r["full_rank"] for r in weights["spectra"] for m in r["models"] if m["top"]]
    return {
        "models": list(EXPERTS),
        "length": {name: round(x, 4) for name, x in zip(EXPERTS, total["relative_norms"], strict=True)},
        "cosine": {key: span(pairs(row["cosine"])) for key, row in {"all": total, **groups}.items()},
        "conflict": {
            "all": span(pairs(total["conflict"]["pairs"])),
            "layers": span(chain(*(pairs(row["conflict"]["pairs"]) for row in layers.values()))),
            "top": {d: span(pairs(t)) for d, t in total["conflict"]["top"].items()},
        },
        "overlap": {d: span(x / float(d) for x in pairs(t)) for d, t in total["overlap"].items()},
        "rank": span(ranks),
        "alignment": {
            "others": span(pairs([row[: len(EXPERTS)] for row in ratio["ratio"]])),
            "average": span(row[-1] for row in ratio["ratio"]),
            "chance": round(ratio["chance"][-1], 4),
        },
        **scores(found),
    }


def scores(found: Found) -> dict[str, Any]:
    """The numbers of path, plane and sweep: shares of items, on the mean over the tasks."""
    path, plane, sweep = found["path"], found["plane"], found["sweep"]
    mean, tasks = plane["scores"]["mean"]["accuracy"], plane["corners"]
    best = max((x, i, j) for i, row in enumerate(mean) for j, x in enumerate(row))
    at, line = plane["at_corners"], path["scores"]["mean"]["accuracy"]
    return {
        "items": next(iter(sweep["tasks"].values()))["items"],
        "path": {
            "ends": path["ends"],
            "barrier": path["barriers"]["mean"]["accuracy"]["height"],
            "best": [path["coefficients"][line.index(max(line))], round(max(line), 4)],
            "at": [round(line[0], 4), round(line[-1], 4)],
        },
        "plane": {
            "best": {task: round(plane["scores"][task]["accuracy"][best[1]][best[2]], 4) for task in (*tasks, "mean")},
            "corners": [round(x, 4) for x in at["mean"]["accuracy"]],
            "of others": span(pairs([at[task]["accuracy"] for task in tasks])),
        },
        "sweep": {"peaks": {task: peak["at"] for task, peak in sweep["peaks"].items()}, "average": sweep["average"]},
    }


def shown(values: list[float], form: str = ".2f", scale: float = 1.0) -> str:
    """A span in words: least to most.

    Example:
        >>> shown([0.481, 0.485, 0.494], ".0f", 100), shown([0.5, 0.5, 0.5])
        ('48 to 49', '0.50')
    """
    low, high = (format(scale * values[i], form) for i in (0, -1))
    return low if low == high else f"{low} to {high}"


def by_density(spans: Mapping[str, list[float]], form: str, scale: float = 1.0, unit: str = "") -> str:
    """A span for every share of the largest entries."""
    return "; ".join(f"{100 * float(d):g} %: {shown(spans[d], form, scale)}{unit}" for d in sorted(spans, key=float))


def of_weights(n: Found) -> Iterable[tuple[str, str]]:
    """Rows of what weights alone tell."""
    cosine, align = n["cosine"], n["alignment"]
    inside = [x for key, spanned in cosine.items() if key.isdigit() for x in spanned]
    place = {"before the layers": cosine["before"], "in them": [min(inside), max(inside)], "after": cosine["after"]}
    yield "length of task vectors over the base's", ", ".join(f"{k} {100 * x:.0f} %" for k, x in n["length"].items())
    yield "cosines, all weights", shown(cosine["all"])
    yield "cosines by layer", "; ".join(f"{name} {shown(spanned)}" for name, spanned in place.items())
    yield "opposite signs, all entries", f"{shown(n['conflict']['all'], '.1f', 100)} %"
    yield "opposite signs among the largest of both", by_density(n["conflict"]["top"], ".0f", 100, " %")
    yield "shared largest entries, times chance", by_density(n["overlap"], ".2f")
    yield "effective over full rank", f"{shown(n['rank'], '.0f', 100)} %, mean {100 * n['rank'][1]:.0f} %"
    to_average = f"with the average {shown(align['average'])}, where random directions give {align['chance']:.2f}"
    yield "alignment", f"with each other {shown(align['others'])}; {to_average}"


def of_scores(n: Found) -> Iterable[tuple[str, str]]:
    """Rows of what scores on the way tell."""
    path, plane, peaks = n["path"], n["plane"], n["sweep"]["peaks"]
    first, last = (f"{100 * x:.1f} %" for x in path["at"])
    best = f"best {100 * path['best'][1]:.1f} % at {path['best'][0]:g}; barrier {100 * path['barrier']:.1f} points"
    yield f"path from {path['ends'][0]} to {path['ends'][1]}", f"ends {first} and {last}; {best}"
    alone = ", ".join(f"{100 * x:.1f} %" for x in plane["corners"])
    others = f"{shown(plane['of others'], '.0f', 100)} % on each other's tasks"
    yield "plane, the models alone", f"{alone} on the mean; {others}"
    yield "plane, the best place", ", ".join(f"{task} {100 * x:.1f} %" for task, x in plane["best"].items())
    yield "best λ", ", ".join(f"{task} {at:.2g}" for task, at in peaks.items())


def table(kept: Found) -> str:
    """The page's table."""
    n = kept["numbers"]
    head = f"| {kept['testbed']}, {kept['size']}, seed {kept['seed']}, `{kept['digest'][:12]}` | {n['items']} images |"
    rows = chain(of_weights(n), of_scores(n))
    return "\n".join([head, "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def main() -> None:
    """Measure, draw, keep the numbers, and put them on the page."""
    import torch

    from solera import testbeds
    from solera.diagnose import draw

    torch.set_num_threads(1)
    built = testbeds.build("vision-8")
    found = measured(built)
    kept = {"testbed": built.name, "size": built.size, "seed": built.seed, "digest": built.digest}
    kept["numbers"] = numbers(found)
    RESULT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    put(PAGE, table(kept))
    print(f"{len(draw(found, OUT, formats=('png',)))} figures are in {OUT}")


if __name__ == "__main__":
    main()
