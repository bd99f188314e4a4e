"""evaluate and bench: how good one model is, and how methods compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.options import AsJson, Plugins, load_plugins, split
from solera.cli.shown import guarded, rows, say, say_json, warn

if TYPE_CHECKING:
    from solera.bench.arena import Source
    from solera.bench.entries import Field
    from solera.evaluate import Score, ScoreCache

Testbeds = Annotated[
    Path | None, typer.Option("--cache", help="Folder of built testbeds; default the user's.", show_default=False)
]
NoMemory = Annotated[bool, typer.Option("--no-memory", help="Do not look up scores, nor remember them.")]


@guarded
def evaluate(
    model: Annotated[str, typer.Argument(help="A folder, Hub id, or model+adapter.", show_default=False)],
    *,
    testbed: Annotated[str, typer.Option(help="Score on this testbed.", show_default=False)] = "",
    size: Annotated[str, typer.Option(help="Size of the testbed: tiny, small, full.")] = "small",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the testbed.")] = 0,
    only: Annotated[
        str | None, typer.Option(help="Tasks of the testbed, with commas, such as sorting.", show_default=False)
    ] = None,
    written: Annotated[
        bool, typer.Option("--written", help="Score what the model writes by itself: lm-6, moe-8.")
    ] = False,
    tasks: Annotated[str, typer.Option(help="Score on these tasks of lm-eval: a,b (extra eval).")] = "",
    include: Annotated[Path | None, typer.Option(help="A folder with lm-eval tasks of your own (YAML).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Items of each lm-eval task at most.")] = None,
    fewshot: Annotated[int | None, typer.Option(min=0, help="Examples before each item (lm-eval).")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Items in one pass (lm-eval).")] = 8,
    device: Annotated[str, typer.Option(help="Where lm-eval runs the model.")] = "cpu",
    cache: Testbeds = None,
    no_memory: NoMemory = False,
    as_json: AsJson = False,
) -> None:
    """Score a model on a testbed, or on tasks of lm-eval. The same weights are never scored twice."""
    from solera.errors import BadParameter

    if bool(testbed) == bool(tasks):
        raise BadParameter("One of --testbed and --tasks is needed.", fix="solera evaluate MODEL --testbed vision-8")
    if tasks and (only or written):
        raise BadParameter("--only and --written are of testbeds.", fix="name all lm-eval tasks in --tasks")
    if testbed:
        from solera.bench import evaluate_on_testbed
        from solera.testbeds.cache import known_size

        found = evaluate_on_testbed(
            model,
            testbed,
            size=known_size(size),
            seed=seed,
            written=written,
            only=split(only or ""),
            folder=cache,
            cache=_scores(forget=no_memory),
        )
    else:
        from solera.evaluate.harness import Asked, score_with_harness

        asked = Asked(limit, fewshot, batch, device)
        found = score_with_harness(model, split(tasks), include=include, asked=asked, cache=_scores(forget=no_memory))
    if not no_memory:
        _into_catalog(model, found)
    say_json(list(map(_plain, found))) if as_json else say(_listed(found))


def _into_catalog(model: str, found: Sequence[Score]) -> None:
    from solera.app.recording import record_scores

    if trouble := record_scores(model, [_plain(score) for score in found]):
        warn(trouble)


def _scores(*, forget: bool) -> ScoreCache | None:
    from solera.evaluate import ScoreCache, default_cache

    return None if forget else ScoreCache(default_cache())


def _plain(score: Score) -> dict[str, Any]:
    """A score as JSON: without the numbers of the items; what is not finite is null."""
    from dataclasses import asdict
    from math import isfinite

    kept = {key: value for key, value in asdict(score).items() if key != "each"}
    return {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in kept.items()}


def _listed(found: Sequence[Score]) -> str:
    table = {f"{s.task} ({s.metric})": f"{s.value:8.4f} ± {s.error:.4f}  {s.items:>6} items  {s.group}" for s in found}
    return rows(table)


@guarded
def bench(
    name: Annotated[
        list[str] | None, typer.Argument(help="A testbed; with --models: more models.", show_default=False)
    ] = None,
    *,
    methods: Annotated[str, typer.Option(help="Only these methods: a,b. Default: every one that applies.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds of the testbed, from 0.")] = 1,
    size: Annotated[str, typer.Option(help="tiny, small, full.")] = "small",
    adapters: Annotated[bool, typer.Option("--adapters", help="Merge the testbed's LoRA adapters.")] = False,
    base: Annotated[str, typer.Option(help="Your own base.", show_default=False)] = "",
    models: Annotated[list[str] | None, typer.Option(help="Your own models.", show_default=False)] = None,
    tasks: Annotated[Path | None, typer.Option(help="Your own tasks: see docs/bench.md.", show_default=False)] = None,
    records: Annotated[
        Path | None, typer.Option(help="File that rows are added to; default in the user's cache.", show_default=False)
    ] = None,
    pages: Annotated[
        Path | None, typer.Option(help="Also write page, figure and JSON into this folder.", show_default=False)
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what the records have.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes of one thread.")] = 2,
    cache: Testbeds = None,
    no_memory: NoMemory = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Compare methods on a testbed, with default and with tuned parameters; goes on where it was stopped."""
    load_plugins(plugin)
    sources = _own(base, [*(models or []), *(name or [])], tasks, seeds) if models or tasks else None
    if sources is None:
        sources = _testbeds(name or [], size, seeds, cache, adapters=adapters)
    asked = split(methods) or None
    chosen = _field(sources[0], asked)
    for method, why in chosen.left_out.items() if asked else ():
        warn(f"{method} takes no part: {why}")
    file = records or _default_records(sources[0])
    _measured(sources, chosen, file, workers, plugin or [], fresh=fresh, forget=no_memory)
    _show(sources[0], file, pages, as_json=as_json)


def _testbeds(names: Sequence[str], size: str, seeds: int, cache: Path | None, *, adapters: bool) -> Sequence[Source]:
    from solera.bench.arena import TestbedSource
    from solera.errors import BadParameter
    from solera.testbeds import names as known
    from solera.testbeds import testbed
    from solera.testbeds.cache import known_size

    if len(names) != 1:
        raise BadParameter("One testbed is needed.", got=", ".join(names), want=", ".join(known()))
    if not testbed(names[0]).family:
        fix = f"one of {', '.join(name for name in known() if testbed(name).family)}"
        raise BadParameter(f"{names[0]} has no experts of one base, to compare merges of.", fix=fix)
    return [TestbedSource(names[0], known_size(size), seed, adapters, cache) for seed in range(seeds)]


def _own(base: str, models: Sequence[str], tasks: Path | None, seeds: int) -> Sequence[Source]:
    from solera.bench.own import OwnSource
    from solera.errors import BadParameter

    if tasks is None or len(models) < 2:
        want = "two models or more and --tasks"
        raise BadParameter("A comparison of your own models lacks something.", want=want, fix="see docs/bench.md")
    return [OwnSource(base or None, tuple(models), tasks, seed) for seed in range(seeds)]


def _field(source: Source, methods: Sequence[str] | None) -> Field:
    from solera.bench.claims import probes
    from solera.bench.entries import field_of

    known = source.key()[1] != "own"
    return field_of(source.models_count, based=source.based, methods=methods, probes=probes() if known else ())


def _default_records(source: Source) -> Path:
    from solera.evaluate import default_cache

    return default_cache().parent / "bench" / f"{source.key()[0].replace(':', '-')}.jsonl"


def _measured(
    sources: Sequence[Source],
    chosen: Field,
    file: Path,
    workers: int,
    plugins: Iterable[Path],
    *,
    fresh: bool,
    forget: bool,
) -> None:
    from solera.bench.running import Setting, run
    from solera.evaluate import default_cache

    setting = Setting(None if forget else default_cache(), tuple(plugins))
    with _progress() as (tell, _):
        run(sources, chosen.entries, file, setting=setting, workers=workers, fresh=fresh, on_event=tell)


def _progress() -> Any:
    """A bar on standard error where that is a terminal; warnings in any case."""
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from solera.types import Event

    @contextmanager
    def opened() -> Any:
        columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            line = bar.add_task("bench", total=None)

            def tell(event: Event) -> None:
                if event.kind == "warning":
                    warn(event.message)
                elif event.kind == "progress":
                    bar.update(line, description=event.message[:40], completed=event.done, total=event.total)

            yield tell, bar

    return opened()


def _show(source: Source, file: Path, pages: Path | None, *, as_json: bool) -> None:
    from rich.console import Console

    from solera.bench.leaderboard import board
    from solera.bench.pages import board_json, write_board
    from solera.bench.records import read
    from solera.bench.table import shown
    from solera.errors import RunError

    testbed, size, _, _, variant = source.key()
    found = board(read(file), testbed, size, variant)
    if found is None:
        raise RunError("Nothing could be measured.", where=file)
    say_json(board_json(found)) if as_json else shown(found, Console())
    if pages is not None:
        for path in write_board(found, pages):
            warn(f"wrote {path}") if as_json else say(str(path))
