"""kv bench, kv methods: caches with a budget, measured and listed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.card_pages import origin, show_cards
from solera.cli.options import AsJson, split
from solera.cli.shown import guarded, say_json

if TYPE_CHECKING:
    from solera.bench.kv_rows import QualityRow, SpeedRow
    from solera.inference.kv.cards import CacheCard

app = typer.Typer(no_args_is_help=True, help="Key-value caches with a budget: evicted or merged while a model writes.")

Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="NAME or NAME:parameter=value,...; default all.", show_default=False),
]
Budgets = Annotated[str, typer.Option("--budgets", help="Shares of the tokens; 1 is the plain cache.")]


@app.command("bench")
@guarded
def bench(
    testbed: Annotated[str, typer.Argument(help="Quality is measured on its experts: lm-6.")] = "lm-6",
    *,
    random: Annotated[
        str, typer.Option(help="Speed of a random Llama instead: LAYERSxWIDTH, as 12x768.", show_default=False)
    ] = "",
    context: Annotated[int, typer.Option(min=16, help="With --random: tokens before those that are written.")] = 4096,
    tokens: Annotated[int, typer.Option(min=1, help="With --random: tokens that are written.")] = 128,
    method: Methods = None,
    budgets: Budgets = "1,0.5,0.35,0.2",
    tasks: Annotated[str, typer.Option(help="Of the testbed: a,b.")] = "recall,instruction,brackets",
    items: Annotated[int | None, typer.Option(min=1, help="Of each task at most.", show_default=False)] = None,
    size: Annotated[str, typer.Option(help="Of the testbed: tiny, small, full.")] = "small",
    seed: Annotated[int, typer.Option(min=0, help="Of the testbed.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of built testbeds; default the user's.", show_default=False)
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of torch.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Compare methods at equal budgets: exact match of what experts write, memory held; or tokens/s.

    solera kv bench                                      recall, copying, closing on lm-6
    solera kv bench --random 12x768 --context 4096       speed and memory behind a long context
    """
    import torch

    from solera.bench.kv_rows import METHODS

    torch.set_num_threads(threads)
    asked = tuple(method or METHODS), _shares(budgets)
    if random:
        _speed(random, context, tokens, asked, as_json=as_json)
        return
    from solera.testbeds import open_built
    from solera.testbeds.cache import known_size

    built = open_built(testbed, size=known_size(size), seed=seed, cache=cache)
    names = split(tasks)
    _quality(built, names, items, asked, as_json=as_json)


@app.command("methods")
@guarded
def methods(
    name: Annotated[
        str | None, typer.Argument(help="A method; without it, all are listed.", show_default=False)
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List methods for caches, or show one in full."""
    from solera.inference.kv import cache_card, cache_cards

    cards = [cache_card(name)] if name else list(cache_cards().values())
    show_cards(cards, _facts, one=bool(name), as_json=as_json)


def _facts(card: CacheCard) -> dict[str, object]:
    return {"merges": "what is dropped lives on in what stays" if card.merges else "", **origin(card)}


def _shares(text: str) -> tuple[float, ...]:
    from solera.errors import BadParameter

    try:
        return tuple(float(part) for part in split(text))
    except ValueError:
        raise BadParameter("`budgets` cannot be read.", got=text, want="shares with commas: 1,0.5,0.2") from None


def _quality(built: Any, tasks: tuple[str, ...], items: int | None, asked: tuple[Any, Any], *, as_json: bool) -> None:
    from solera.bench.kv import Compared, measure_quality
    from solera.bench.kv_table import quality_cells, shown
    from solera.cli.progress import display

    with display(silent=as_json) as listener:
        found = measure_quality(built, Compared(tasks, *asked, items), listener)
    if as_json:
        say_json({"kind": "quality", "testbed": built.name, "digest": built.digest, "rows": list(map(_plain, found))})
    else:
        shown(f"{built.name}: exact match, %", quality_cells(found), _console())


def _speed(shape: str, context: int, tokens: int, asked: tuple[Any, Any], *, as_json: bool) -> None:
    from solera.bench.kv_speed import Shape, Timed, measure_speed
    from solera.bench.kv_table import shown, speed_cells
    from solera.cli.progress import display

    with display(silent=as_json) as listener:
        found = measure_speed(Shape.read(shape), Timed(context, tokens, *asked), listener)
    if as_json:
        facts = {"kind": "speed", "shape": shape, "context": context, "tokens": tokens}
        say_json({**facts, "rows": list(map(_plain, found))})
    else:
        shown(f"{shape}, {tokens} tokens behind {context}", speed_cells(found), _console())


def _plain(row: QualityRow | SpeedRow) -> dict[str, Any]:
    return {key: value for key, value in asdict(row).items() if key != "each"}


def _console() -> Any:
    from rich.console import Console

    return Console()
