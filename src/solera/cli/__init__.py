"""The command line: one command, `solera`, with verbs. Thin: every verb calls `solera.app` and shows what it says."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the process ends with the exit code of the verb."""
    from solera.cli.commands import app

    app()


__all__ = ["main"]
