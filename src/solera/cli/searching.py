"""The verbs of search: here soup and kinship, which choose models by scores on validation items and merge them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli import evolving
from solera.cli.inline import RECIPE_ENDINGS, split_words
from solera.cli.options import AsJson, Plugins, load_plugins
from solera.cli.progress import display
from solera.cli.shown import guarded, rows, say, say_json

if TYPE_CHECKING:
    from solera.cli.judging import Judge, Result

app = typer.Typer(no_args_is_help=True, help="Search recipes by scores on validation items.")
app.command("evolve", context_settings={"ignore_unknown_options": True})(evolving.evolve)
app.command("layers")(evolving.layers)

Models = Annotated[list[str], typer.Argument(help="Models to choose from.", metavar="MODEL...", show_default=False)]
Out = Annotated[Path, typer.Option("-o", "--out", help="The target folder.", show_default=False)]
Testbed = Annotated[str, typer.Option(help="Score on this testbed.", show_default=False)]
Size = Annotated[str, typer.Option(help="Size of the testbed: tiny, small, full.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the testbed.")]
Tasks = Annotated[Path | None, typer.Option(help="Your own tasks: see docs/bench.md.", show_default=False)]
Cache = Annotated[Path | None, typer.Option(help="Folder of built testbeds; default the user's.", show_default=False)]
NoMemory = Annotated[bool, typer.Option("--no-memory", help="Do not look up scores, nor remember them.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a target that is not empty.")]


@app.command("soup")
@guarded
def soup(
    words: Annotated[
        list[str], typer.Argument(help="Models, or a recipe that lists them.", metavar="MODEL...", show_default=False)
    ],
    *,
    out: Out,
    testbed: Testbed = "",
    size: Size = "small",
    seed: Seed = 0,
    tasks: Tasks = None,
    accept: Annotated[str, typer.Option(help="Keep a model if the mean is `better`, or `not worse`.")] = "better",
    tolerance: Annotated[float, typer.Option(min=0, help="By how much; or how much worse it may be.")] = 0.0,
    cache: Cache = None,
    no_memory: NoMemory = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Greedy soup: average models from the best on, and keep those with which the mean scores better.

    solera search soup A B C --testbed vision-8 -o OUT
    solera search soup recipe.yaml --tasks tasks.yaml -o OUT

    A score is the mean of the headline metrics over the validation items of the trained tasks.
    """
    from solera.cli.judging import Asked, find_soup, judge

    asked = Asked(tuple(_listed(words)), None, testbed, size, seed, tasks, cache, forget=no_memory)
    judged = judge(asked, out, force=force)
    with display(silent=as_json) as listener:
        result = find_soup(judged, asked.models, accept, tolerance, listener)
    _finish(judged, result, out, force=force, as_json=as_json)


@app.command("kinship", context_settings={"ignore_unknown_options": True})
@guarded
def kinship(
    words: Models,
    *,
    out: Out,
    base: Annotated[
        str, typer.Option(help="What task vectors are taken from; default the testbed's.", show_default=False)
    ] = "",
    testbed: Testbed = "",
    size: Size = "small",
    seed: Seed = 0,
    tasks: Tasks = None,
    method: Annotated[str, typer.Option(help="What merges two models; see `solera methods`.")] = "slerp",
    keep: Annotated[int, typer.Option(min=2, help="How many of the best are merged with each other.")] = 3,
    explore: Annotated[str, typer.Option(help="Partner of the best: lowest or highest kinship, or off.")] = "lowest",
    kin: Annotated[float | None, typer.Option(help="Stop when the best are all closer.", show_default=False)] = None,
    generations: Annotated[int, typer.Option(min=1, help="The most that are made.")] = 4,
    cache: Cache = None,
    no_memory: NoMemory = False,
    force: Force = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Merge pairs of the best models by generations, led out of the family by the least kin.

    solera search kinship A B C --base X --testbed vision-8 -o OUT --generations 3

    Options that are not listed are parameters of the method (slerp: --t 0.5). Merges of merges are made anew from the
    models one starts with, so a generation costs up to twice the one before.
    """
    from solera.cli.judging import Asked, Pairs, find_by_kinship, judge

    load_plugins(plugin)
    found = split_words(words)
    asked = Asked(tuple(_listed(found.names)), base or None, testbed, size, seed, tasks, cache, forget=no_memory)
    pairs = Pairs(method, dict(found.options), keep, explore, kin, generations)
    judged = judge(asked, out, force=force)
    with display(silent=as_json) as listener:
        result = find_by_kinship(judged, asked.models, pairs, listener)
    _finish(judged, result, out, force=force, as_json=as_json)


def _listed(words: list[str] | tuple[str, ...]) -> list[str]:
    """Models by their references; a folder by its whole path, so that the recipe holds anywhere."""
    if len(words) == 1 and words[0].lower().endswith(RECIPE_ENDINGS):
        from solera.cli.judging import models_of

        return models_of(Path(words[0]))
    return ["+".join(str(Path(p).resolve()) if Path(p).exists() else p for p in word.split("+")) for word in words]


def _finish(judged: Judge, result: Result, out: Path, *, force: bool, as_json: bool) -> None:
    """Write the recipe beside the target, merge by it, and say what came of it."""
    from solera import app as solera_app
    from solera.cli.judging import recipe_beside

    place = recipe_beside(result.recipe, out)
    with display(silent=as_json) as listener:
        report = solera_app.merge(place, out, force=force, on_event=listener)
    scores = {split: judged.scores(result.recipe, split) for split in ("validation", "test")}
    told: dict[str, Any] = {"out": str(out), "recipe": str(place), "digest": report.digest, "scores": scores}
    if as_json:
        say_json({**told, **result.record})
        return
    shown = {split: f"{scores[split]['mean']:.4f}" for split in scores}
    say("\n".join([*result.lines, rows({**shown, "recipe": place, "target": out, "digest": report.digest})]))
