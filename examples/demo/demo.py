"""Train four experts here, merge them with several methods, compare all on all tasks, use the result.

    make demo

Everything is written under demo-out: models/ what was trained, merged/ what Solera made of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from experts import NAMES, make_all
from judge import answers, load, score
from rich.console import Console
from rich.table import Table
from tasks import TASKS, images
from transformers.utils import logging

import solera

ROOT = Path(__file__).parents[2]
RECIPES = Path("recipes/demo")
OUT = Path("demo-out")
SHADES = " ░▒▓█"
Scores = Mapping[str, float]


def merge_all(console: Console) -> dict[str, float]:
    """Merge by every recipe of recipes/demo; seconds taken, by recipe name."""
    seconds = {}
    for recipe in sorted(RECIPES.glob("*.yaml")):
        begun = time.perf_counter()
        solera.merge(recipe, OUT / "merged" / recipe.stem, force=True)
        seconds[recipe.stem] = time.perf_counter() - begun
        console.print(f"  {recipe.stem:<16} {seconds[recipe.stem]:5.1f} s")
    return seconds


def score_table(trained: Mapping[str, Scores], merged: Mapping[str, Scores]) -> Table:
    """Models down, tasks across; the best merge of each column is bold."""
    columns = [*(task.name for task in TASKS), "mean"]
    table = Table(title="Accuracy on held-out images, percent")
    table.add_column("model")
    for column in columns:
        table.add_column(column, justify="right")
    for name, row in trained.items():
        table.add_row(name, *(f"{row[c]:.1f}" for c in columns), end_section=name in ("base", NAMES[-1]))
    best = {c: max(row[c] for row in merged.values()) for c in columns}
    for name, row in merged.items():
        cells = (f"[bold]{row[c]:.1f}[/]" if row[c] == best[c] else f"{row[c]:.1f}" for c in columns)
        table.add_row(f"merged: {name}", *cells)
    return table


def picture(folder: Path, console: Console, count: int = 4) -> None:
    """Draw held-out images with what the base and the merge in `folder` say about them, task by task."""
    base, merged = load(OUT / "models" / "base"), load(folder)
    pixels, digits = images(held_out=True)
    pixels, digits = pixels[:count], digits[:count]
    for row in range(8):
        shades = ("".join(SHADES[round(v.item() * 4)] * 2 for v in image[0, row]) for image in pixels)
        console.print(" " * 15 + "".join(shades), highlight=False)
    for task in TASKS:
        for name, model in (("base", base), ("merge", merged)):
            said, right = answers(model, task, pixels), task.label(digits)
            marks = (
                f"{a} {'✓' if a == b else '✗'}".center(16) for a, b in zip(said.tolist(), right.tolist(), strict=True)
            )
            console.print(f"{task.name if name == 'base' else '':<9}{name:<6}" + "".join(marks), highlight=False)


def main() -> None:
    """The whole demo, told as it goes."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    os.chdir(ROOT)  # the recipes name their models from here
    console = Console()
    begun = time.perf_counter()
    console.rule("1. Train a base and four experts (two processes, one thread each)")
    if not make_all(OUT / "models", console):
        console.print("  Trained before by this very code; `make clean` removes them.")
    console.rule("2. Merge the experts by each recipe of recipes/demo")
    recipes = merge_all(console)
    console.rule("3. Compare on all tasks")
    trained = {name: score(OUT / "models" / name) for name in NAMES}
    merged = {name: score(OUT / "merged" / name) for name in recipes}
    console.print(score_table(trained, merged))
    best = max(merged, key=lambda name: merged[name]["mean"])
    console.rule(f"4. Use the best merge ({best}), loaded with transformers")
    picture(OUT / "merged" / best, console)
    console.print("parity: 1 is odd, 0 is even")
    took = time.perf_counter() - begun
    console.print(f"\nDone in {took:.0f} s. Every folder under {OUT / 'merged'} is a model, ready to use.")


if __name__ == "__main__":
    main()
