"""pack make, inspect, verify and unpack: many experts in one folder, routed for every input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.inline import split_words
from solera.cli.options import AsJson, Plugins, load_plugins, split
from solera.cli.progress import display
from solera.cli.shown import guarded, rows, say, say_json

if TYPE_CHECKING:
    from solera.app.pack_report import Lessons, PackReport
    from solera.testbeds.contract import Built

app = typer.Typer(no_args_is_help=True, help="Pack many experts into one folder that transformers loads as one model.")
DAMAGED = 3

Words = Annotated[
    list[str] | None,
    typer.Argument(
        help="Experts (folders, Hub ids, base+adapter); then parameters of the method.",
        metavar="EXPERT...",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="The target folder.", show_default=False)]
Packed = Annotated[Path, typer.Argument(help="A pack's folder.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace a target that is not empty.")]


@app.command("make", context_settings={"ignore_unknown_options": True})
@guarded
def make(
    words: Words = None,
    *,
    out: Out,
    base: Annotated[
        str | None, typer.Option(help="The model that the experts were tuned from.", show_default=False)
    ] = None,
    method: Annotated[str, typer.Option(help="tall_mask, emr or twin.")] = "tall_mask",
    tasks: Annotated[
        str, typer.Option(help="Names a,b,c in the order of the experts; default: their folders.", show_default=False)
    ] = "",
    shared: Annotated[
        str, typer.Option(help="For twin: a method of `solera methods`, a recipe file, or a model.")
    ] = "task_arithmetic",
    own: Annotated[
        list[str] | None,
        typer.Option(help="A pattern of tensors that every task keeps whole, such as classifier.", show_default=False),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Inputs of each task, in order, to train a router on: as for `learn statistics`.", show_default=False
        ),
    ] = None,
    testbed: Annotated[
        str,
        typer.Option(help="Take inputs of this testbed's tasks; its experts, if none are named.", show_default=False),
    ] = "",
    testbed_size: Annotated[str, typer.Option(help="Size of the testbed.")] = "small",
    testbed_seed: Annotated[int, typer.Option(help="Its seed.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of built testbeds; default the user's.", show_default=False)
    ] = None,
    samples: Annotated[int, typer.Option(min=2, help="Examples of a task at most.")] = 256,
    batch: Annotated[int, typer.Option(min=1, help="Examples in one forward pass.")] = 32,
    length: Annotated[int, typer.Option(min=1, help="Tokens of an example at most.")] = 512,
    layer: Annotated[int, typer.Option(help="Whose hidden states the router sees; -1 is the last.")] = -1,
    hidden: Annotated[int | None, typer.Option(min=1, help="Channels of the router.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the router, and of methods that draw.")] = 0,
    dtype: Annotated[
        str | None, typer.Option(help="Of vectors and factors; default: the base's.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, and say how large it would be.")] = False,
    force: Force = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Pack experts: what they share once, what each adds compressed, and a router if there is data.

    solera pack make A B C --base X --method tall_mask --threshold 0.4 -o OUT
    solera pack make A B --base X --method twin --rank 0.1 --shared ties --data a.jsonl --data b.jsonl -o OUT

    Parameters: threshold of tall_mask, mean of emr, rank of twin and those of its shared expert's method.
    """
    load_plugins(plugin)
    from solera.app import PackMake, pack_make

    found, built = split_words(words or []), _built(testbed, testbed_size, testbed_seed, cache)
    names = list(split(tasks))
    experts, base, names = _of_testbed(built, found.names, base, names)
    wanted = PackMake(
        experts=tuple(experts), base=base, method=method, names=tuple(names), shared=shared, own=tuple(own or ()),
        parameters={name: _value(text) for name, text in found.options.items()}, dtype=dtype, layer=layer,
        hidden=hidden, seed=seed,
    )  # fmt: skip
    place = (testbed_size, testbed_seed, cache)
    lessons = None if dry_run else _lessons(built, wanted.experts, names, data or [], (samples, batch, length), place)
    with display(silent=as_json) as listener:
        report = pack_make(wanted, out, lessons=lessons, force=force, dry_run=dry_run, on_event=listener)
    say_json(report.to_json()) if as_json else say(_summary(report))


@app.command("inspect")
@guarded
def inspect(pack: Packed, *, as_json: AsJson = False) -> None:
    """Say what a pack holds, and how large its parts are."""
    from solera.app import pack_inspect

    found = pack_inspect(pack)
    if as_json:
        say_json(found)
        return
    router = found["router"]
    facts = {
        "method": " ".join([found["method"], *(f"{name}={value}" for name, value in found["parameters"].items())]),
        "architecture": found["architecture"],
        "start": found["start"],
        "router": f"{router['samples']} examples, {100 * router['accuracy']:.1f} % right"
        if router
        else "none: give task=",
    }
    say("\n\n".join([rows(facts), _sizes(found["sizes"])]))


@app.command("verify")
@guarded
def verify(pack: Packed, *, as_json: AsJson = False) -> None:
    """Compare every file of tensors of a pack with its digest. Exit code 3 if any differs."""
    from solera.app import pack_verify

    with display(silent=as_json) as listener:
        found = pack_verify(pack, on_event=listener)
    if as_json:
        say_json(found)
    elif found["ok"]:
        say(f"{pack}: {found['files']} files are as they were written")
    else:
        say("\n".join([*(f"damaged: {name}" for name in found["damaged"]), *filter(None, [found["fault"]])]))
    if not found["ok"]:
        raise typer.Exit(DAMAGED)


@app.command("unpack")
@guarded
def unpack(
    pack: Packed,
    task: Annotated[str, typer.Argument(help="One of the pack's tasks.", show_default=False)],
    *,
    out: Out,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the model of one task as an ordinary folder."""
    from solera.app import pack_unpack

    with display(silent=as_json) as listener:
        found = pack_unpack(pack, task, out, force=force, on_event=listener)
    say_json(found) if as_json else say(f"{found['out']}: {found['tensors']} tensors of {task}")


def _built(name: str, size: str, seed: int, cache: Path | None) -> Built | None:
    if not name:
        return None
    from solera import testbeds
    from solera.testbeds.cache import known_size

    return testbeds.open_built(name, size=known_size(size), seed=seed, cache=cache)


def _of_testbed(
    built: Built | None, experts: Sequence[str], base: str | None, names: list[str]
) -> tuple[Sequence[str], str | None, list[str]]:
    """Experts, base and names as given; all of a testbed where nothing is."""
    if built is None or experts:
        return experts, base, names
    chosen = names or list(built.experts)
    known = {name: str(folder) for name, folder in built.experts.items()}
    from solera.errors import UnknownName, nearest

    for name in chosen:
        if name not in known:
            raise UnknownName("The testbed has no such task.", got=name, fix=nearest(name, known))
    return [known[name] for name in chosen], base or str(built.base), chosen


def _lessons(
    built: Built | None, experts: Sequence[str], names: Sequence[str], data: Sequence[str],
    cut: tuple[int, int, int], place: tuple[str, int, Path | None],
) -> Lessons | None:  # fmt: skip
    """Inputs of every task: of the testbed, or of one source for each expert; None where there is no data."""
    from solera.errors import BadParameter

    if built is not None and data:
        raise BadParameter("The data is given twice.", want="--testbed or --data")
    if built is None and not data:
        return None
    from solera.checkpoints.reference import parse_ref
    from solera.cli.calibration import batches_of, testbed_batches
    from solera.learn.statistics import Cut

    taken = Cut(*cut)
    if built is not None:
        tasks = names or [Path(expert).name for expert in experts]
        return [testbed_batches(built, task, taken) for task in tasks]
    if len(data) != len(experts):
        raise BadParameter("Every expert needs its own data.", got=f"{len(data)} for {len(experts)} experts")
    pairs = zip(data, experts, strict=True)
    return [batches_of(name, parse_ref(expert), taken, place) for name, expert in pairs]


def _value(text: str) -> Any:
    """A number, a truth, a word, or several with commas: one for each expert."""
    from solera.recipe.text import scalar_of

    return tuple(scalar_of(part.strip()) for part in text.split(",")) if "," in text else scalar_of(text)


def _summary(report: PackReport) -> str:
    done = f"{report.out}: {report.method}" if report.written else f"would write {report.method}, at most"
    parts = [f"{done}, {len(report.tasks)} tasks", _sizes(report.sizes, report.tasks)]
    if report.router:
        right = f"{100 * report.router['accuracy']:.1f} %"
        parts.append(f"router: {report.router['samples']} examples, {right} of held-out ones sent to their task")
    if report.written:
        parts.append(f"digest {report.digest}, {report.seconds:.1f} s")
    return "\n\n".join(parts)


def _sizes(sizes: Mapping[str, Any], about: Mapping[str, Mapping[str, float]] | None = None) -> str:
    """The table of sizes, beside the separate experts."""
    from solera.plan.explain import size

    table = {name: size(sizes[name]) for name in ("base", "shared") if sizes[name]}
    for name, nbytes in sizes["tasks"].items():
        facts = ", ".join(f"{key} {value:.3g}" for key, value in (about or {}).get(name, {}).items())
        table[name] = f"{size(nbytes):>9}  {facts}".rstrip()
    table |= {"router": size(sizes["router"])} if sizes["router"] else {}
    table["all"] = f"{size(sizes['total']):>9}  {100 * sizes['share']:.1f} % of the separate experts"
    table["experts"] = size(sizes["experts"])
    return rows({name: f"{value:>9}" for name, value in table.items()})
