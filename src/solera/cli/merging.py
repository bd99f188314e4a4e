"""merge, continue and plan."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solera.cli.budgets import BudgetText, Floor, Sketches, with_budget
from solera.cli.inputs import Asked, recipe_of, target_of
from solera.cli.options import Address, AsJson, Backend, Memory, Plugins, Threads, Workers, load_plugins, memory_bytes
from solera.cli.progress import display
from solera.cli.shown import guarded, say, say_json, warn

if TYPE_CHECKING:
    from solera.app import MergeReport
    from solera.plan.tasks import Plan
    from solera.recipe import Recipe

Words = Annotated[
    list[str],
    typer.Argument(
        help="A recipe file and the target folder; or models (folders, Hub ids, model+adapter) with -o.",
        metavar="RECIPE OUT | MODEL...",
        show_default=False,
    ),
]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="The target: a folder, or s3://...", show_default=False)]
Base = Annotated[str | None, typer.Option(help="The model that task vectors are taken from.", show_default=False)]
Method = Annotated[
    str | None, typer.Option(help="See `solera methods`; default: linear.", show_default=False, metavar="NAME")
]
Variant = Annotated[str | None, typer.Option(help="A named preset of the method.", show_default=False)]
Tokenizer = Annotated[str | None, typer.Option(help="union, base, or a model; default: unchanged.", show_default=False)]
Dtype = Annotated[str | None, typer.Option(help="Type of the output; default: the base's.", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="For methods that draw numbers.", show_default=False, min=0)]


@guarded
def merge(
    words: Words,
    *,
    out: Out = None,
    base: Base = None,
    method: Method = None,
    variant: Variant = None,
    tokenizer: Tokenizer = None,
    dtype: Dtype = None,
    seed: Seed = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a target that is not empty.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    threads: Threads = None,
    memory: Memory = None,
    backend: Backend = "threads",
    address: Address = None,
    workers: Workers = None,
    budget: BudgetText = None,
    budget_floor: Floor = None,
    sketches: Sketches = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Merge models into a new folder, all at once or not at all.

    With a recipe: solera merge recipe.yaml out/
    Without: solera merge A B+adapter --base X --method ties --density 0.3 -o out/

    Without a recipe, every parameter of the method is an option (see `solera methods NAME`): one value for all models,
    or one per model with commas, as in --weight 0.6,0.4. The recipe is written into the target either way.
    """
    load_plugins(plugin)
    options = {"base": base, "method": method, "variant": variant, "tokenizer": tokenizer, "dtype": dtype, "seed": seed}
    asked = Asked(words, options)
    recipe = with_budget(recipe_of(asked), budget, budget_floor, sketches)
    _announce_downloads(recipe, silent=as_json)
    if dry_run:
        _show_plan(_planned(recipe, memory, threads), as_json=as_json)
        return
    from solera import app

    target, held = target_of(asked, out), memory_bytes(memory)
    with _terminable(), display(silent=as_json) as listener:
        report = app.merge(
            recipe, target, force=force, threads=threads, memory=held, resume=resume, on_event=listener,
            backend=backend, address=address, workers=workers,
        )  # fmt: skip
    say_json(report.to_json()) if as_json else say(_summary(report))


@guarded
def continue_(
    folder: Annotated[Path, typer.Argument(help="A finished merge by a sequential method.", show_default=False)],
    *,
    add: Annotated[list[str], typer.Option("--add", help="A model to add; may be repeated.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="The target folder.", show_default=False)],
    base: Annotated[str | None, typer.Option(help="Where the base is now, if it moved.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a target that is not empty.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    threads: Threads = None,
    memory: Memory = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Add models to a finished sequential merge, without the models that went into it.

    For opcm, continual_task_arithmetic and continual_ties. The folder's recipe and state are read; the new recipe,
    written into the target, names the folder as its first model.
    """
    load_plugins(plugin)
    from solera import app

    recipe = app.continued(folder, add, base=base)
    _announce_downloads(recipe, silent=as_json)
    if dry_run:
        _show_plan(_planned(recipe, memory, threads), as_json=as_json)
        return
    held = memory_bytes(memory)
    with _terminable(), display(silent=as_json) as listener:
        report = app.merge(recipe, out, force=force, threads=threads, memory=held, resume=resume, on_event=listener)
    say_json(report.to_json()) if as_json else say(_summary(report))


@guarded
def plan(
    words: Words,
    *,
    base: Base = None,
    method: Method = None,
    variant: Variant = None,
    tokenizer: Tokenizer = None,
    dtype: Dtype = None,
    seed: Seed = None,
    threads: Threads = None,
    memory: Memory = None,
    budget: BudgetText = None,
    budget_floor: Floor = None,
    sketches: Sketches = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Say what a merge would read, write and hold; no tensor is read.

    Takes a recipe file, or models and options as `solera merge` does.
    """
    load_plugins(plugin)
    options = {"base": base, "method": method, "variant": variant, "tokenizer": tokenizer, "dtype": dtype, "seed": seed}
    asked = Asked(words, options)
    recipe = with_budget(recipe_of(asked), budget, budget_floor, sketches)
    _announce_downloads(recipe, silent=as_json)
    _show_plan(_planned(recipe, memory, threads), as_json=as_json)


def _planned(recipe: Recipe, memory: str | None, threads: int | None) -> Plan:
    from solera import app

    return app.plan(recipe, memory=memory_bytes(memory), threads=threads)


def _show_plan(planned: Plan, *, as_json: bool) -> None:
    say_json(planned.to_json()) if as_json else say(planned.explain())


def _announce_downloads(recipe: Recipe, *, silent: bool) -> None:
    """Before anything is fetched, say what and how much."""
    from solera.checkpoints import download_size
    from solera.plan.explain import size
    from solera.plan.models import references

    if silent:
        return
    sizes = {str(ref): download_size(ref) for ref in references(recipe)}
    for name, nbytes in sizes.items():
        if nbytes:
            warn(f"{name} will be downloaded: {size(nbytes)}")


def _summary(report: MergeReport) -> str:
    from solera.plan.explain import size

    counts = ", ".join(f"{count} {status}" for status, count in report.tensors.items())
    kept = f"; {report.chunks_resumed} pieces of an earlier run kept" if report.chunks_resumed else ""
    return (
        f"{report.out}: {sum(report.tensors.values())} tensors ({counts}), read {size(report.bytes_read)}, wrote "
        f"{size(report.bytes_written)} in {report.seconds:.1f} s{kept}{_left_out(report)}\ndigest {report.digest}"
    )


def _left_out(report: MergeReport) -> str:
    """What a budget came to."""
    from solera.plan.explain import size

    spent = report.budget
    if spent is None or spent["read"] is None:
        return ""
    worst = max((mass["share"] for mass in spent["mass"].values()), default=0.0)
    bound = "" if spent["bound"] is None else f"; at most {spent['bound']:.3g} from the whole merge"
    return (
        f"\nbudget: {size(spent['read'])} of {size(spent['total'])} read beside the base, "
        f"{spent['blocks_left_out']} of {spent['blocks']} blocks and at most {worst:.1%} of a model's squared change "
        f"left out{bound}"
    )


@contextmanager
def _terminable() -> Iterator[None]:
    """A polite end (SIGTERM) stops a run as Ctrl-C does, so that it can be resumed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
