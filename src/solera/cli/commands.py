"""The verbs, gathered. Importing this module must stay cheap: everything heavy is imported inside the verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

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

_MERGE, _LOOK, _MEASURE, _MORE = "Merge", "Look", "Measure", "More"
_COLLECT = {"ignore_unknown_options": True}


@dataclass(frozen=True, slots=True)
class Verb:
    """A command, or a group of them: its name, what it does, the panel of the help that lists it."""

    name: str
    does: Callable[..., Any] | typer.Typer
    panel: str
    settings: Mapping[str, Any] = field(default_factory=dict)


learning.app.command("depth")(depth.depth)
VERBS = (
    Verb("merge", merging.merge, _MERGE, _COLLECT),
    Verb("continue", merging.continue_, _MERGE),
    Verb("plan", merging.plan, _MERGE, _COLLECT),
    Verb("check", recipes.check, _MERGE),
    Verb("methods", recipes.methods, _MERGE),
    Verb("lora", lora.app, _MERGE),
    Verb("pack", packs.app, _MERGE),
    Verb("moe", moe.app, _MERGE),
    Verb("align", aligning.align, _MERGE),
    Verb("analyze", analyzing.analyze, _LOOK),
    Verb("inspect", models.inspect, _LOOK),
    Verb("diff", models.diff, _LOOK),
    Verb("verify", models.verify, _LOOK),
    Verb("try", models.try_, _LOOK),
    Verb("diagnose", diagnosing.diagnose, _MEASURE),
    Verb("testbed", testbeds.app, _MEASURE),
    Verb("evaluate", evaluating.evaluate, _MEASURE),
    Verb("bench", evaluating.bench, _MEASURE),
    Verb("search", searching.app, _MEASURE),
    Verb("kv", kv.app, _MEASURE),
    Verb("learn", learning.app, _MEASURE),
    Verb("catalog", catalog.app, _MORE),
    Verb("tokens", tokens.app, _MORE),
    Verb("push", publishing.push, _MORE),
    Verb("doctor", machine.doctor, _MORE),
)


def gathered(named: str | None = None) -> typer.Typer:
    """The command line. Where a verb is named, of the others only name and help: making their options takes time."""
    app = typer.Typer(
        name="solera",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(epilog=_START)(solera)
    for verb in VERBS:
        _add(app, verb, whole=named in (None, verb.name))
    return app


def _add(app: typer.Typer, verb: Verb, *, whole: bool) -> None:
    does = verb.does
    if isinstance(does, typer.Typer):
        group = does if whole else typer.Typer(help=does.info.help)
        app.add_typer(group, name=verb.name, rich_help_panel=verb.panel)
        return
    command = app.command(verb.name, rich_help_panel=verb.panel, context_settings=dict(verb.settings))
    command(does if whole else _named_only(does))


def _named_only(does: Callable[..., Any]) -> Callable[[], None]:
    def verb() -> None:
        """Stands in a list."""

    verb.__doc__ = does.__doc__
    return verb


def _version(*, asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


_START = "Start: solera merge recipe.yaml out/   or   solera merge A B --base X --method ties -o out/"


def solera(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=lambda v: _version(asked=v))
    ] = False,
) -> None:
    """Turn several neural networks into one."""


app = gathered()
