"""Options that several verbs share, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print plain JSON on standard output.")]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file that registers methods; it is run.", show_default=False),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Workers; default: the cores of this machine. Never changes the result.")
]
Memory = Annotated[
    str | None,
    typer.Option(
        help="What the run may hold above an idle process, such as 2GiB; default 512MiB.",
        show_default=False,
        metavar="SIZE",
    ),
]

Backend = Annotated[
    str, typer.Option(help="Who works: threads, inline, cuda (a graphics card; last places may differ) or ray.")
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Of a Ray cluster, or auto; default: RAY_ADDRESS, else one is started here.",
        show_default=False,
        metavar="HOST:PORT",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Cores of the Ray cluster that work at once; default: all.", show_default=False),
]


def load_plugins(files: list[Path] | None) -> None:
    """Run the files that the user named, so that their methods are known."""
    if files:
        from solera.registry import load_plugin

        for file in files:
            load_plugin(file)


def memory_bytes(text: str | None) -> int | None:
    """Read a size.

    Raises:
        BadParameter: not a size.

    Example:
        >>> memory_bytes("2GiB"), memory_bytes(None)
        (2147483648, None)
    """
    if text is None:
        return None
    from solera.recipe.parts import size_bytes

    return size_bytes(text)


def split(text: str) -> tuple[str, ...]:
    """Parts between commas.

    Example:
        >>> split("a, b,")
        ('a', 'b')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())
