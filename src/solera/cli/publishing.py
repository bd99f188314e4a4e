"""push: a merged folder to the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from solera.cli.options import AsJson
from solera.cli.shown import guarded, rows, say, say_json, warn

Folder = Annotated[Path, typer.Argument(help="A folder made by `solera merge`.", show_default=False)]
Repo = Annotated[str, typer.Argument(help="org/name on the Hub; made if missing.", show_default=False)]


@guarded
def push(
    folder: Folder,
    repo: Repo,
    *,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
    message: Annotated[str, typer.Option(help="Of the commit.")] = "Upload merged model",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be pushed; no network.")] = False,
    as_json: AsJson = False,
) -> None:
    """Upload a merged model to the Hugging Face Hub."""
    from solera import app
    from solera.plan.explain import size

    said = app.push(folder, repo, private=not public, message=message, dry_run=dry_run)
    if as_json:
        say_json(said)
        return
    for text in said["warnings"]:
        warn(text)
    if dry_run:
        say(rows({name: size(nbytes) for name, nbytes in said["files"].items()}))
        say(f"would push {len(said['files'])} files, {size(said['bytes'])}, to {repo}")
    else:
        say(f"pushed {len(said['files'])} files, {size(said['bytes'])}: {said['url']}")
