"""testbed build, list, show and remove: small trained models that methods are measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.options import AsJson
from solera.cli.shown import guarded, rows, say, say_json

if TYPE_CHECKING:
    from solera.testbeds.contract import Built

app = typer.Typer(no_args_is_help=True, help="Small trained models with known tasks, built here.")

Name = Annotated[
    str, typer.Argument(help="A testbed, or vision-8:SOURCE; `solera testbed list` names them.", show_default=False)
]
Names = Annotated[str, typer.Argument(help="A testbed, or `all`.", show_default=False)]
SizeOf = Annotated[str, typer.Option("--size", help="tiny (seconds), small (minutes) or full (hours, or a GPU).")]
Seed = Annotated[int, typer.Option(help="Of data, weights and training.")]
Cache = Annotated[
    Path | None,
    typer.Option(help="Where testbeds are kept; default ~/.cache/solera/testbeds.", show_default=False),
]


@app.command("build")
@guarded
def build(
    name: Names,
    *,
    size: SizeOf = "small",
    seed: Seed = 0,
    cache: Cache = None,
    images: Annotated[
        str,
        typer.Option(
            help="Of vision-8: digits, fashion (Fashion-MNIST) or a folder of IDX files. The same as vision-8:SOURCE.",
            show_default="digits",
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Build anew, whatever is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build a testbed into the cache, or say where it is. An interrupted build goes on."""
    from solera import testbeds
    from solera.cli.progress import display

    made = []
    for each in testbeds.names() if name == "all" and not images else (_with_source(name, images),):
        with display(silent=as_json) as listener:
            made.append(
                testbeds.build(each, size=size, seed=seed, cache=cache, on_event=listener, force=force)  # type: ignore[arg-type]
            )
        if not as_json:
            say(_overview(made[-1]))
    if as_json:
        data = [_as_data(built) for built in made]
        say_json(data if name == "all" else data[0])


def _with_source(name: str, images: str) -> str:
    """A testbed's name with the source of its data; one of the two says it."""
    from solera.errors import BadParameter

    if images and ":" in name:
        raise BadParameter("The images are named twice.", got=f"{name} --images {images}", want=f"{name}, or --images")
    if images and name == "all":
        raise BadParameter("Other images are for one testbed.", got="all", fix=f"build vision-8 --images {images}")
    return f"{name}:{images}" if images else name


@app.command("list")
@guarded
def list_(*, cache: Cache = None, as_json: AsJson = False) -> None:
    """List the testbeds, which of them are built, and whether they can be used; `show` checks every file."""
    from solera import testbeds
    from solera.testbeds.homes import kind_of

    known = {name: testbeds.testbed(name) for name in testbeds.names()}
    versions = {name: kind.version for name, kind in known.items()}
    stored = [(s, versions.get(kind_of(s.name))) for s in testbeds.stored(cache)]
    kept = [(each, testbeds.standing(each, version)) for each, version in stored if version is not None]
    if as_json:
        kinds = {n: {"about": k.about, "version": k.version, "minutes": dict(k.minutes)} for n, k in known.items()}
        say_json({"testbeds": kinds, "built": [{**asdict(each), "standing": found} for each, found in kept]})
        return
    say(rows({name: kind.about for name, kind in known.items()}))
    built = {f"  {each.folder.name}": found for each, found in kept}
    say("\nbuilt\n" + rows(built) if built else "\nnone is built")


@app.command("show")
@guarded
def show(name: Name, *, size: SizeOf = "small", seed: Seed = 0, cache: Cache = None, as_json: AsJson = False) -> None:
    """Show what a built testbed holds and what was measured; every file is checked."""
    from solera import testbeds

    built = testbeds.open_built(name, size=size, seed=seed, cache=cache)  # type: ignore[arg-type]
    if as_json:
        say_json(_as_data(built))
        return
    say(_overview(built))
    for split in ("validation", "test"):
        tasks = testbeds.tasks(built, split)  # type: ignore[arg-type]
        say(f"\n{split}\n" + rows({f"  {t.name}": f"{t.group:<10} {t.items:>6} items  {t.metric}" for t in tasks}))


@app.command("remove")
@guarded
def remove(name: Name, *, size: SizeOf = "small", seed: Seed = 0, cache: Cache = None, as_json: AsJson = False) -> None:
    """Delete a testbed from the cache: all versions, with what interrupted builds left."""
    from solera import testbeds

    gone = testbeds.remove(name, size=size, seed=seed, cache=cache)  # type: ignore[arg-type]
    if as_json:
        say_json({"removed": gone})
    else:
        say("\n".join(f"removed {folder}" for folder in gone) or "there was nothing to remove")


def _as_data(built: Built) -> dict[str, Any]:
    return asdict(built)


def _overview(built: Built) -> str:
    groups = {
        "base": built.base.name,
        "experts": ", ".join(built.experts),
        "adapters": ", ".join(built.adapters),
        "extras": ", ".join(built.extras),
    }
    head = {"testbed": f"{built.name}, {built.size}, seed {built.seed}", "folder": built.folder, "digest": built.digest}
    return "\n".join([rows({**head, **{k: v for k, v in groups.items() if v}}), *_figures(built.facts)])


def _figures(facts: Mapping[str, Any]) -> list[str]:
    """The quality gate as lines: each figure with its bound."""
    gate = facts.get("gate")
    if not isinstance(gate, Mapping) or not gate:
        return []
    return ["quality gate", rows({f"  {name}": _figure(row) for name, row in gate.items()})]


def _figure(row: Mapping[str, Any]) -> str:
    return f"{row['value']}  ({row['want']})" + ("" if row["ok"] else "  MISSED")
