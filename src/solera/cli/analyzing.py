"""analyze: sketch models against their base, so that a budget knows what to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solera.cli.options import AsJson, Threads
from solera.cli.progress import display
from solera.cli.shown import guarded, say, say_json, warn

if TYPE_CHECKING:
    from solera.app.analyzing import Analysis


@guarded
def analyze(
    models: Annotated[list[str], typer.Argument(help="Models: folders, Hub ids, model+adapter.", show_default=False)],
    *,
    base: Annotated[str, typer.Option(help="The model that they were fine-tuned from.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="A folder for the sketches; default: the catalog.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also sketch what is sketched already.")] = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Sketch what models change of their base, in one pass; `--budget` then knows what is worth reading.

    A model that is sketched already is passed over. A stopped run goes on where it was.
    """
    from solera.app.analyzing import analyze as run

    with display(silent=as_json) as listener:
        found = run(models, base, out=out, force=force, threads=threads, on_event=listener)
    if as_json:
        say_json([one.to_json() for one in found])
        return
    for one in found:
        say(_line(one))
        for note in one.notes:
            warn(f"{one.model}: {note}")


def _line(one: Analysis) -> str:
    from solera.plan.explain import size

    far = one.norm / one.base_norm if one.base_norm else 0.0
    how = "was there" if one.known else f"read {size(one.bytes_read)} in {one.seconds:.1f} s"
    return (
        f"{one.model}: change {far:.2%} of the base's length, {one.unchanged:.1%} of elements unchanged; "
        f"{one.blocks} blocks in {one.leaves} leaves\n  {size(one.nbytes)} in {one.place} ({how})"
    )
