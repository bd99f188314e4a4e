"""What a verb says: text or JSON on standard output, errors in house form on standard error, exit codes."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NoReturn, ParamSpec

import typer

from solera.errors import RunError, SoleraError

P = ParamSpec("P")


def guarded(verb: Callable[P, None]) -> Callable[P, None]:
    """Wrap a verb so that every error raised on purpose is shown, and ends in its own exit code."""

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json = bool(kwargs.get("as_json"))
        try:
            verb(*args, **kwargs)
        except SoleraError as error:
            fail(error, as_json=as_json)
        except KeyboardInterrupt:
            typer.secho("Stopped; nothing was written.", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of our output has gone, as in `solera methods | head`
            _close_output()
        except OSError as error:
            fail(of_system(error), as_json=as_json)

    return run


def of_system(error: OSError) -> RunError:
    """An error of the operating system in house form."""
    return RunError("The system refused.", where=error.filename or "", got=error.strerror or str(error))


def fail(error: SoleraError, *, as_json: bool) -> NoReturn:
    """Show an error and leave with its exit code."""
    if as_json:
        say_json({"error": as_data(error)})
    else:
        head, _, rest = str(error).partition("\n")
        typer.secho(head, err=True, bold=True)
        typer.echo(rest, err=True) if rest else None
    raise typer.Exit(error.exit_code)


def as_data(error: SoleraError) -> dict[str, Any]:
    """An error as plain data."""
    faults = [asdict(fault) for fault in error.faults]
    return {"type": type(error).__name__, "exit_code": error.exit_code, "faults": faults}


def say(text: str) -> None:
    """One line or more on standard output."""
    typer.echo(text)


def warn(text: str) -> None:
    """A warning on standard error."""
    typer.echo(f"warning: {text}", err=True)


def say_json(data: Any) -> None:
    """Plain data as JSON on standard output."""
    typer.echo(json.dumps(data, indent=2, default=str, ensure_ascii=False))


def rows(table: Mapping[str, object]) -> str:
    """Names and values in two columns.

    Example:
        >>> print(rows({"tensors": 3, "bytes": 12}))
        tensors  3
        bytes    12
    """
    width = max(map(len, table), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in table.items())


def _close_output() -> None:
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
