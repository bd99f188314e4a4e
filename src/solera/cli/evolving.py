"""search evolve and search layers: recipes by evolution, scored in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.options import AsJson, Plugins, load_plugins, split
from solera.cli.progress import display
from solera.cli.search_words import (
    Place,
    declared,
    estimated,
    ground_of,
    named,
    one_of,
    settings,
    source,
)
from solera.cli.shown import guarded, rows, say, say_json

if TYPE_CHECKING:
    from solera.search.contract import Problem, Source
    from solera.search.running import Searched, Settings

Words = Annotated[
    list[str] | None,
    typer.Argument(
        help="A space, a recipe, or models; with --testbed alone, its experts.",
        metavar="SPACE.yaml | RECIPE.yaml | MODEL...",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for recipes, report and log.", show_default=False)]
Base = Annotated[
    str | None, typer.Option(help="What task vectors are taken from; default the testbed's.", show_default=False)
]
Testbed = Annotated[str, typer.Option(help="Score on this testbed.", show_default=False)]
Size = Annotated[str, typer.Option(help="Size of the testbed: tiny, small, full.")]
BedSeed = Annotated[int, typer.Option("--testbed-seed", min=0, help="Seed of the testbed.")]
Cache = Annotated[Path | None, typer.Option(help="Folder of built testbeds; default the user's.", show_default=False)]
Tasks = Annotated[Path | None, typer.Option(help="Your own tasks: see docs/bench.md.", show_default=False)]
Optimizer = Annotated[str, typer.Option(help="cmaes, tpe, random, or nsga2 for several objectives.")]
Evaluations = Annotated[int, typer.Option(help="Candidates that are scored, each once.")]
Population = Annotated[int | None, typer.Option(help="Candidates asked for at once.", show_default=False)]
Objectives = Annotated[
    str, typer.Option("--objective", help="mean, worst, TASK or TASK+TASK; several, with commas, give a front.")
]
Racing = Annotated[str, typer.Option(help="Shares of the items, as 0.25,1: only the better go on.", show_default=False)]
Keep = Annotated[float, typer.Option(help="Share of a population that goes on in a race.")]
Estimator = Annotated[
    str, typer.Option(help="Score on few items by mean, p-irt, gp-irt, mp-irt or gmp-irt.", show_default=False)
]
Items = Annotated[int, typer.Option(help="Items of each task for the estimator.")]
Anchors = Annotated[str, typer.Option(help="How they are chosen: random or clusters.")]
Calibration = Annotated[int, typer.Option(min=0, help="Candidates scored on all items to fit the estimator.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the optimizer, and of draws of items.")]
Processes = Annotated[int, typer.Option("--workers", help="Processes, each with a model in memory.")]
PerProcess = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Of each process; default: the cores, shared.", show_default=False),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a search that was stopped, or make it longer.")]
Method = Annotated[
    str | None, typer.Option(help="Default: task_arithmetic with a base, else linear.", show_default=False)
]
Genes = Annotated[str, typer.Option(help="One gene per model: global, role or layer.")]
Block = Annotated[int, typer.Option(min=1, help="Layers that share a gene.")]
Vary = Annotated[
    str,
    typer.Option(help="NAME or NAME:LOW:HIGH, with commas; default: from the method's card.", show_default=False),
]
Models = Annotated[
    list[str] | None,
    typer.Argument(
        help="Models of one width; the first gives embeddings and head. extra:NAME and expert:NAME: the testbed's.",
        metavar="MODEL...",
        show_default=False,
    ),
]
Repeats = Annotated[int, typer.Option(help="How often the row of all layers stands after itself.")]
Scales = Annotated[str, typer.Option(help="Factors of the state: matrix (per pair of layers), layer, none.")]
Others = Annotated[float, typer.Option(help="Where the other layers' indicators start, in steps; the paper: 0.")]
FreeEnds = Annotated[bool, typer.Option("--free-ends", help="Do not force the first model's first and last layer.")]


@guarded
def evolve(
    words: Words = None,
    *,
    out: Out,
    base: Base = None,
    method: Method = None,
    genes: Genes = "global",
    block: Block = 1,
    vary: Vary = "",
    testbed: Testbed = "",
    size: Size = "small",
    testbed_seed: BedSeed = 0,
    cache: Cache = None,
    tasks: Tasks = None,
    optimizer: Optimizer = "cmaes",
    evaluations: Evaluations = 100,
    population: Population = None,
    objectives: Objectives = "mean",
    racing: Racing = "",
    keep: Keep = 0.5,
    estimator: Estimator = "",
    items: Items = 20,
    anchors: Anchors = "random",
    calibration: Calibration = 16,
    seed: Seed = 0,
    workers: Processes = 1,
    threads: PerProcess = None,
    resume: Resume = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Search the coefficients of a merge; no model is written.

    solera search evolve A B C --base X --method ties --genes layer --tasks tasks.yaml -o OUT
    solera search evolve recipe.yaml --vary weight,density:0.1:0.9 --tasks tasks.yaml -o OUT
    solera search evolve --testbed vision-8 --optimizer nsga2 --objective rotated,inverted -o OUT

    Options that are not listed are parameters of the method, and stay. OUT/best.yaml is what `solera merge` takes.
    Candidates are chosen by validation items; test items are scored once, at the end.
    """
    from solera.search.merging import Merging
    from solera.search.ranges import genes_for

    load_plugins(plugin)
    place = Place(testbed, size, testbed_seed, cache, tasks)
    told = declared(words or [], place, base, method, vary, objectives)
    problem = Merging(genes_for(told.recipe, told.wishes, genes, block))
    few = estimated(estimator, items, anchors, calibration)
    asked = settings(optimizer, evaluations, population, told.objectives, seed, racing, keep, few)
    _run(problem, ground_of(place, told.recipe), out, asked, workers, threads, plugin, resume=resume, as_json=as_json)


@guarded
def layers(
    models: Models = None,
    *,
    out: Out,
    repeats: Repeats = 1,
    scales: Scales = "matrix",
    others: Others = -2.0,
    free_ends: FreeEnds = False,
    testbed: Testbed = "",
    size: Size = "small",
    testbed_seed: BedSeed = 0,
    cache: Cache = None,
    tasks: Tasks = None,
    optimizer: Optimizer = "cmaes",
    evaluations: Evaluations = 100,
    population: Population = None,
    objectives: Objectives = "mean",
    racing: Racing = "",
    keep: Keep = 0.5,
    seed: Seed = 0,
    workers: Processes = 1,
    threads: PerProcess = None,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Search which layers of which models follow each other, with repeats and skips, and how the state is scaled.

    solera search layers A B --tasks tasks.yaml --evaluations 500 -o OUT

    Candidates run the models' own layers; nothing is copied. OUT/best.yaml stacks slices, scales included.
    """
    from solera.search.layers import Layers

    place = Place(testbed, size, testbed_seed, cache, tasks)
    refs = named(models or [], place)
    how = one_of("scales", scales, ("matrix", "layer", "none"))
    problem = Layers(refs, repeats, how, others=others, ends=not free_ends)
    asked = settings(optimizer, evaluations, population, split(objectives), seed, racing, keep, None)
    ground = source(place, [str(ref) for ref in refs], None)
    _run(problem, ground, out, asked, workers, threads, None, resume=resume, as_json=as_json)


def _run(
    problem: Problem, source: Source, out: Path, settings: Settings, workers: int, threads: int | None,
    plugin: list[Path] | None, *, resume: bool, as_json: bool,
) -> None:  # fmt: skip
    import os

    from solera.search.running import Machine, search

    shared = threads or max(1, (os.cpu_count() or 1) // max(1, workers))
    machine = Machine(workers, shared, tuple(plugin or ()))
    with display(silent=as_json) as listener:
        done = search(problem, source, out, settings, machine=machine, resume=resume, on_event=listener)
    if as_json:
        say_json({"out": str(out), "files": [str(file) for file in done.files], **done.report})
    else:
        say(_text(done))


def _text(done: Searched) -> str:
    report = done.report
    names = report["objectives"]
    items = report["items"]
    facts: dict[str, object] = {
        "evaluations": f"{report['evaluations']}, {report['failed']} failed ({report['stopped']})",
        "items": f"{items['scored']:,} of {items['of']:,}, {report['calibration_items']:,} for calibration",
    }
    for kind in ("start", "best"):
        for part in ("validation", "test"):
            values = report[kind][part]
            facts[f"{kind}, {part}"] = ", ".join(f"{name} {values[name]:.4f}" for name in names)
    genes = [f"  {name:<40} {value}" for name, value in list(report["best"]["genes"].items())[:20]]
    more = len(report["best"]["genes"]) - len(genes)
    lines = [rows(facts), "genes of the best:", *genes, *([f"  and {more} more"] if more > 0 else []), *_front(report)]
    return "\n".join([*lines, *(str(file) for file in done.files)])


def _front(report: Any) -> list[str]:
    """The front as a table."""
    names = report["objectives"]
    if len(names) < 2:
        return []
    head = "front  " + "  ".join(f"{name[:18]:>18}" for name in [*names, *(f"{name}, test" for name in names)])
    body = [
        f"{number:>5}  " + "  ".join(f"{row[part][name]:>18.4f}" for part in ("validation", "test") for name in names)
        for number, row in enumerate(report["front"])
    ]
    return [head, *body]
