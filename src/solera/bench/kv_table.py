"""Caches with a budget, as tables: in the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from solera.bench.kv_rows import FULL, QualityRow, SpeedRow

Cells = Sequence[str]


def quality_cells(rows: Iterable[QualityRow]) -> tuple[Cells, list[Cells]]:
    """Heads, and a row for each method and budget: exact match on every task, bytes as a share of the plain cache."""
    found = list(rows)
    tasks = list(dict.fromkeys(row.task for row in found))
    kinds = list(dict.fromkeys((row.method, row.budget) for row in found))
    table = {(row.task, row.method, row.budget): row for row in found}
    body: list[Cells] = []
    for method, budget in kinds:
        mine = [table.get((task, method, budget)) for task in tasks]
        exact = [f"{100 * row.exact:.1f}" if row else "–" for row in mine]
        there = [row for row in mine if row]
        held = sum(row.nbytes for row in there) / max(1, sum(row.full_nbytes for row in there))
        body.append((method, f"{100 * budget:.0f} %", *exact, f"{100 * held:.0f} %"))
    return ("method", "budget", *tasks, "bytes held"), body


def speed_cells(rows: Iterable[SpeedRow]) -> tuple[Cells, list[Cells]]:
    """Heads, and one row for each method and budget."""
    found = list(rows)
    full = next((row for row in found if row.method == FULL), None)
    body: list[Cells] = [
        (
            row.method,
            f"{100 * row.budget:.0f} %",
            f"{row.tokens_per_s:.2f}",
            f"{row.tokens_per_s / full.tokens_per_s:.2f}" if full else "–",
            f"{row.same_length:.2f}",
            f"{100 * row.own:.1f} %",
            f"{row.nbytes / 2**20:.1f}",
            f"{100 * row.nbytes / full.nbytes:.0f} %" if full else "–",
            f"{row.prompt_s:.1f}",
        )
        for row in found
    ]
    heads = ("method", "budget", "tokens/s", "× full", "as short", "own", "MiB", "of full", "prompt s")
    return heads, body


def shown(title: str, cells: tuple[Cells, list[Cells]], console: Console) -> None:
    """Print a table."""
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for place, name in enumerate(cells[0]):
        table.add_column(name, justify="right" if place else "left", no_wrap=place > 0)
    for row in cells[1]:
        table.add_row(*row)
    console.print(table)


def markdown(cells: tuple[Cells, list[Cells]]) -> str:
    """The same for a page.

    Example:
        >>> print(markdown((("method", "budget"), [("h2o", "50 %")])))
        | method | budget |
        |---|---|
        | h2o | 50 % |
    """
    lines = [cells[0], ["---"] * len(cells[0]), *cells[1]]
    return "\n".join("|---" * len(line) + "|" if line[0] == "---" else "| " + " | ".join(line) + " |" for line in lines)
