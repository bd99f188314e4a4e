"""check and methods: what needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.card_pages import show_cards
from solera.cli.options import AsJson, Plugins, load_plugins
from solera.cli.shown import guarded, say, say_json
from solera.errors import RecipeError

if TYPE_CHECKING:
    from solera.errors import Fault
    from solera.registry import Card, StepCard

Files = Annotated[list[Path], typer.Argument(help="Recipe files.", metavar="RECIPE...", show_default=False)]
Steps = Annotated[bool, typer.Option("--steps", help="The steps and wrappers that recipes can name instead.")]
Name = Annotated[str | None, typer.Argument(help="A method; without it, all are listed.", show_default=False)]


@guarded
def check(files: Files, *, plugin: Plugins = None, as_json: AsJson = False) -> None:
    """Check the text of recipes, without models. Exit code 2 if any has a fault."""
    load_plugins(plugin)
    found = {str(file): _faults(file) for file in files}
    if as_json:
        say_json({name: [asdict(fault) for fault in faults] for name, faults in found.items()})
    else:
        for name, faults in found.items():
            say("\n".join(map(str, faults)) if faults else f"{name}: sound")
    if any(found.values()):
        raise typer.Exit(RecipeError.exit_code)


def _faults(file: Path) -> tuple[Fault, ...]:
    from solera import app

    try:
        return app.check(file)
    except RecipeError as error:
        return error.faults


@guarded
def methods(name: Name = None, *, steps: Steps = False, plugin: Plugins = None, as_json: AsJson = False) -> None:
    """List the methods, or show one in full."""
    from solera.registry import card, cards, step_card, step_cards

    load_plugins(plugin)
    shown: Sequence[Card | StepCard]
    if name:
        shown = [step_card(name) if steps else card(name)]
    else:
        shown = list(step_cards().values()) if steps else list(cards().values())
    show_cards(shown, _facts_of, one=bool(name), as_json=as_json)


def _facts_of(card: Card | StepCard) -> dict[str, Any]:
    from solera.registry import StepCard

    return _step_facts(card) if isinstance(card, StepCard) else _facts(card)


def _step_facts(card: StepCard) -> dict[str, Any]:
    from solera.registry.step_card import ROLE_TEXT

    return {
        "paper": card.paper,
        "role": ROLE_TEXT[card.role],
        "space": card.space,
        "grain": card.grain,
        "numbers": card.numeric,
        "statistics": ", ".join(card.statistics),
    }


def _facts(card: Card) -> dict[str, Any]:
    fewest, most = card.models
    return {
        "paper": card.paper,
        "code": card.code,
        "space": card.space,
        "grain": card.grain,
        "base": card.base,
        "models": f"{fewest}" if fewest == most else f"{fewest} to {most}" if most else f"{fewest} or more",
        "passes": card.passes,
        "numbers": card.numeric,
        "variants": ", ".join(card.variants),
        "statistics": ", ".join(card.statistics),
    }
