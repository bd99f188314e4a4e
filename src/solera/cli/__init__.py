"""The command line: one command, `solera`, with verbs. Thin: every verb calls `solera.app` and shows what it says."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the process ends with the exit code of the verb."""
    import sys

    from solera.cli.commands import gathered

    named = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    gathered(named)()


__all__ = ["main"]
