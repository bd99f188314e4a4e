"""docs/testbeds.md and its figure, out of results/testbeds.json; no number on the page is typed by hand.

python benchmarks/testbeds_page.py          (`make docs` runs it)
"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill
from typing import Any

import testbeds_tables as tables
from testbeds_figure import draw
from testbeds_words import ABOUT, BUILT_TWICE, FIGURE, FOOT, FULL, GATES, HEAD, KINSHIP, SIZES, TIMES

ROOT = Path(__file__).parents[1]
RESULT, PAGE = ROOT / "benchmarks/results/testbeds.json", ROOT / "docs/testbeds.md"
PICTURE = ROOT / "docs/figures/testbeds.png"
Row = tables.Row


def first(found: Row) -> list[Row]:
    """The first seed of every kind, size small."""
    return [row for row in found["records"] if (row["size"], row["seed"]) == ("small", 0)]


def prose(text: str, **numbers: Any) -> str:
    r"""Paragraphs with their numbers filled in, in lines of at most 120 characters; titles and commands stay.

    Example:
        >>> prose("# A\n\n{n} rows\nof it", n=2)
        '# A\n\n2 rows of it\n'
    """
    parts = text.strip("\n").split("\n\n")
    return "\n\n".join(p if p.startswith(("#", "```")) else _wrapped(p.format(**numbers)) for p in parts) + "\n"


def _wrapped(paragraph: str) -> str:
    return fill(" ".join(paragraph.split()), 120, break_long_words=False, break_on_hyphens=False)


def about(found: Row, row: Row) -> str:
    """What a testbed is, and what its models score."""
    name, images = row["testbed"], (row["data"] or {}).get("images", {})
    said = prose(ABOUT[name], images=images, plan=found["kinds"][name]["plans"]["small"])
    return f"### {name}\n\n{said}\n{tables.shown(row)}"


def page(found: Row) -> str:
    """The page."""
    rows = first(found)
    full = [f"`{row['testbed']}`" for row in found["records"] if row["size"] == "full"]
    versions = ", ".join(f"{name} {v}" for name, v in rows[0]["versions"].items())
    parts = [
        prose(HEAD), tables.overview(rows), FIGURE, *(about(found, row) for row in rows),
        prose(GATES), tables.gates(rows), prose(TIMES, versions=versions), tables.times(rows),
        prose(BUILT_TWICE), tables.pairs(found), tables.once(found), prose(KINSHIP), tables.kinship(rows),
        prose(SIZES), f"Built of size `full`: {', '.join(full)}.\n" if full else prose(FULL),
        tables.sizes(found["kinds"]), prose(FOOT),
    ]  # fmt: skip
    return "\n".join(parts)


def main() -> None:
    """Write the page and the figure."""
    found = json.loads(RESULT.read_text("utf-8"))
    PAGE.write_text(page(found), encoding="utf-8")
    draw(first(found), PICTURE)


if __name__ == "__main__":
    main()
