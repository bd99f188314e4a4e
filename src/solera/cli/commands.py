"""The verbs, gathered. Importing this module must stay cheap: everything heavy is imported inside the verbs."""

from __future__ import annotations

from typing import Annotated

import typer

from solera import __version__
from solera.cli import (
    aligning,
    analyzing,
    catalog,
    depth,
    diagnosing,
    evaluating,
    kv,
    learning,
    lora,
    machine,
    merging,
    models,
    moe,
    packs,
    publishing,
    recipes,
    searching,
    testbeds,
    tokens,
)

app = typer.Typer(
    name="solera",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(*, asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(epilog="Start: solera merge recipe.yaml out/   or   solera merge A B --base X --method ties -o out/")
def solera(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=lambda v: _version(asked=v))
    ] = False,
) -> None:
    """Turn several neural networks into one."""


_MERGE, _LOOK, _MEASURE, _MORE = "Merge", "Look", "Measure", "More"
_COLLECT = {"ignore_unknown_options": True}

app.command("merge", rich_help_panel=_MERGE, context_settings=_COLLECT)(merging.merge)
app.command("continue", rich_help_panel=_MERGE)(merging.continue_)
app.command("plan", rich_help_panel=_MERGE, context_settings=_COLLECT)(merging.plan)
app.command("check", rich_help_panel=_MERGE)(recipes.check)
app.command("methods", rich_help_panel=_MERGE)(recipes.methods)
app.add_typer(lora.app, name="lora", rich_help_panel=_MERGE)
app.add_typer(packs.app, name="pack", rich_help_panel=_MERGE)
app.add_typer(moe.app, name="moe", rich_help_panel=_MERGE)
app.command("analyze", rich_help_panel=_LOOK)(analyzing.analyze)
app.command("align", rich_help_panel=_MERGE)(aligning.align)
app.command("inspect", rich_help_panel=_LOOK)(models.inspect)
app.command("diff", rich_help_panel=_LOOK)(models.diff)
app.command("verify", rich_help_panel=_LOOK)(models.verify)
app.command("try", rich_help_panel=_LOOK)(models.try_)
app.command("diagnose", rich_help_panel=_MEASURE)(diagnosing.diagnose)
app.add_typer(testbeds.app, name="testbed", rich_help_panel=_MEASURE)
app.command("evaluate", rich_help_panel=_MEASURE)(evaluating.evaluate)
app.command("bench", rich_help_panel=_MEASURE)(evaluating.bench)
app.add_typer(searching.app, name="search", rich_help_panel=_MEASURE)
app.add_typer(kv.app, name="kv", rich_help_panel=_MEASURE)
app.add_typer(catalog.app, name="catalog", rich_help_panel=_MORE)
learning.app.command("depth")(depth.depth)
app.add_typer(tokens.app, name="tokens", rich_help_panel=_MORE)
app.add_typer(learning.app, name="learn", rich_help_panel=_MEASURE)
app.command("push", rich_help_panel=_MORE)(publishing.push)
app.command("doctor", rich_help_panel=_MORE)(machine.doctor)
