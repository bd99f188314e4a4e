"""The tables of docs/testbeds.md, from the rows of results/testbeds.json."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

OWED = {"vision-8": 8.0, "lm-6": 25.0, "all five": 40.0}
"""Minutes that `small` may take."""
UNITS = {"accuracy": "accuracy", "exact": "exact match, answer given as context"}
Row = Mapping[str, Any]


def grid(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    shown = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([shown[0], "|" + "---|" * len(lines[0]), *shown[1:]]) + "\n"


def span(values: Iterable[float], form: str = "g") -> str:
    """Least to most; one number where they are equal.

    Example:
        >>> span([2, 3]), span([2, 2])
        ('2 to 3', '2')
    """
    kept = sorted(values)
    low, high = format(kept[0], form), format(kept[-1], form)
    return low if low == high else f"{low} to {high}"


def overview(rows: list[Row]) -> str:
    """Every testbed in a line."""
    head = ("testbed", "models", "parameters each", "tasks", "test items a task", "metric", "on disk")
    return grid(head, map(_line, rows))


def _line(row: Row) -> Iterator[object]:
    models, tasks = row["models"], row["tasks"].values()
    clean = [task for task in tasks if task["group"] != "corrupted"]
    family = 1 if row["scores"] or "loads" in row else 0
    parts = {"base": family, "experts": models["experts"], "adapters": models["adapters"], "others": models["extras"]}
    yield f"`{row['testbed']}`"
    yield ", ".join(
        f"{n} {(name if n > 1 else name.rstrip('s')) if family else 'networks'}" for name, n in parts.items() if n
    )
    yield f"{row['parameters'] / 1e6:.2f} M" if family else "by kind"
    yield f"{len(clean)}" + (
        f", and {len(row['tasks']) - len(clean)} on damaged images" if len(tasks) > len(clean) else ""
    )
    yield span([task["test"] for task in clean])
    yield UNITS[clean[0]["metric"]]
    yield f"{row['bytes'] / 1e6:.0f} MB"


def scores(row: Row) -> str:
    """Points by task, of a testbed with a base and experts."""
    lines = [line for line in ("base", "average", "adapter", "expert", "ceiling") if line in row["scores"]]
    names = {"adapter": "LoRA expert", "ceiling": "from scratch"}
    rows = [(task, *(f"{row['scores'][line][task]:.1f}" for line in lines)) for task in row["scores"]["base"]]
    means = [sum(each.values()) / len(each) for each in (row["scores"][line] for line in lines)]
    return grid(("task", *(names.get(n, n) for n in lines)), [*rows, ("mean", *(f"{x:.1f}" for x in means))])


def mixtures(row: Row) -> str:
    """Points by task, of mixtures of experts, and how tokens are spread over the experts."""
    kinds = row["loads"]
    tasks = next(iter(kinds.values()))["scores"]
    rows = [(task, *(f"{found['scores'][task]:.1f}" for found in kinds.values())) for task in tasks]
    share = [f"{100 * found['load'][0]:.1f} to {100 * found['load'][1]:.1f} %" for found in kinds.values()]
    return grid(("task", *kinds), [*rows, ("tokens that an expert gets", *share)])


def barriers(row: Row) -> str:
    """What lies between two networks of other seeds or labels."""
    head = (
        "two networks",
        "accuracy of each, all digits",
        "of their mean",
        "barrier of the accuracy, points",
        "of the loss, nats",
    )
    rows = [
        (name.replace(" ", ", "), f"{line[0]:.1f}, {line[-1]:.1f}", f"{line[len(line) // 2]:.1f}",
         f"{path['accuracy_barrier']:.1f}", f"{path['loss_barrier']:.2f}")
        for name, path in row["paths"].items() if (line := path["accuracy"])
    ]  # fmt: skip
    return grid(head, rows)


def shown(row: Row) -> str:
    """What a testbed's models score."""
    return mixtures(row) if "loads" in row else barriers(row) if "paths" in row else scores(row)


def folded(gate: Row) -> Iterator[tuple[str, float, str, bool]]:
    """The gate with what is asked of every task in one line: the least, and where.

    Example:
        >>> bar = {"want": ">= 5", "ok": True}
        >>> list(folded({"a: gain": {"value": 7, **bar}, "b: gain": {"value": 6, **bar}}))
        [('gain, least (b)', 6, '>= 5', True)]
    """
    groups: dict[str, dict[str, Row]] = {}
    for name, bar in gate.items():
        where, _, what = name.rpartition(": ")
        groups.setdefault(what, {})[where] = bar
    for what, bars in groups.items():
        where = min(bars, key=lambda name: bars[name]["value"])
        few = len(bars) == 1 or what.startswith("least")
        said = (f"{what} ({where})" if where else what) if few else f"{what}, least ({where})"
        yield said, bars[where]["value"], bars[where]["want"], all(bar["ok"] for bar in bars.values())


def gates(rows: list[Row]) -> str:
    """Every gate of the first seeds."""
    lines = [
        (f"`{row['testbed']}`", name, f"{value:.4g}", want.replace(">=", "≥").replace("<=", "≤"), verdict(ok))
        for row in rows
        for name, value, want, ok in folded(row["gate"])
    ]
    return grid(("testbed", "figure", "value", "bound", ""), lines)


def verdict(kept: bool) -> str:
    """In a word, the bad one loud."""
    return "kept" if kept else "MISSED"


def times(rows: list[Row]) -> str:
    """Minutes of the builds of the first seeds, beside what they may take."""
    each = [(r["testbed"], r["seconds"], sum(r["cpu"].values()), r["cpu"]) for r in rows]
    each.append(("all five", sum(line[1] for line in each), sum(line[2] for line in each), {}))
    head = ("testbed", "minutes", "at most", "", "processor minutes", "of these, by stage")
    body = [
        (f"`{name}`" if p else name, f"{wall / 60:.1f}", *_verdict(name, wall / 60), f"{cpu / 60:.1f}", _stages(p))
        for name, wall, cpu, p in each
    ]
    return grid(head, body)


def _stages(parts: Mapping[str, float]) -> str:
    long = {part: seconds / 60 for part, seconds in parts.items() if len(parts) > 1 and seconds >= 3}
    return ", ".join(f"{part} {minutes:.1f}" for part, minutes in long.items())


def _verdict(name: str, minutes: float) -> tuple[str, str]:
    if name not in OWED:
        return "", ""
    return f"{OWED[name]:g}", verdict(minutes <= OWED[name])


def pairs(found: Row) -> str:
    """Both builds of what was built twice."""
    head = ("testbed", "built", "digest", "minutes", "cores used", "digests", "measured figures")
    lines = []
    for row in found["twice"]:
        for i in (0, 1):
            verdicts = ("", "")
            if i:
                verdicts = tuple("equal" if row[key] else "NOT EQUAL" for key in ("equal", "facts equal"))
            wall, cpu = row["seconds"][i], row["cpu"][i]
            name = "" if i else f"`{row['testbed']}`, seed {row['seed']}"
            lines.append(
                (
                    name,
                    row["built"][i],
                    f"`{row['digests'][i][:16]}…`",
                    f"{wall / 60:.1f}",
                    f"{cpu / wall:.1f}",
                    *verdicts,
                )
            )
    return grid(head, lines)


def once(found: Row) -> str:
    """The other seeds: digest, means, gate."""
    head = ("testbed", "seed", "digest", "base", "average", "experts", "gate")
    lines = []
    for row in found["records"]:
        means = [
            sum(each.values()) / len(each)
            for each in (row["scores"].get(n) for n in ("base", "average", "expert"))
            if each
        ]
        kept = sum(bar["ok"] for bar in row["gate"].values())
        shown = [f"{x:.1f}" for x in means] or ["", "", ""]
        if row["seed"]:
            lines.append(
                (
                    f"`{row['testbed']}`",
                    row["seed"],
                    f"`{row['digest'][:16]}…`",
                    *shown,
                    f"{kept} of {len(row['gate'])} kept",
                )
            )
    return grid(head, lines)


def kinship(rows: list[Row]) -> str:
    """Cosines and signs by testbed, then lengths and ranks by expert."""
    families = [row for row in rows if row["kin"]]
    head = ("testbed", "mean cosine", "least to most", "entries with both signs", "if signs were independent")
    lines = []
    for row in families:
        cosine, both, independent = (
            row["kin"]["cosine"],
            row["kin"]["conflict"],
            1 - 2 ** (1 - len(row["kin"]["norms"])),
        )
        found = (f"{cosine['mean']:.3f}", f"{cosine['least']:.3f} to {cosine['most']:.3f}")
        lines.append((f"`{row['testbed']}`", *found, f"{100 * both:.1f} %", f"{100 * independent:.1f} %"))
    parts = [grid(head, lines)]
    for row in families:
        k = row["kin"]
        each = [
            (
                name,
                f"{norm:.2f}",
                f"{100 * k['relative'][name]:.1f} %",
                f"{100 * k['rank'][name]:.0f} %",
                f"{k['nearest'][name][0]}, {k['nearest'][name][1]:.2f}",
            )
            for name, norm in k["norms"].items()
        ]
        title = (
            f"`{row['testbed']}`",
            "length",
            "of the base's",
            f"effective rank ({k['rank of']})",
            "nearest, cosine",
        )
        parts.append(grid(title, each))
    return "\n".join(parts)


def shape(plan: Row) -> str:
    """The network of a size in words."""
    if isinstance(plan.get("hidden"), dict):
        return ", ".join(f"{kind} {n}" for kind, n in plan["hidden"].items()) + " wide"
    inner = plan.get("shape", plan)
    pixels = f", images of {inner['side']} × {inner['side']}" if "side" in inner else ""
    return f"{inner['hidden']} wide, {inner['layers']} layers{pixels}"


def sizes(kinds: Row) -> str:
    """What the three sizes hold, and the minutes that the code expects."""
    names = ("tiny", "small", "full")
    lines = [
        (f"`{name}`", *(f"{shape(kind['plans'][size])}; {kind['minutes'][size]:g} min" for size in names))
        for name, kind in kinds.items()
    ]
    return grid(("testbed", *names), lines)
