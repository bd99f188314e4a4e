"""The command line: one command, `solera`, with verbs. Thin: every verb calls `solera.app` and shows what it says."""

from __future__ import annotations

_GARBAGE = 50_000
"""New objects before a search for garbage: imports make that many and keep them, and searching slows the start."""


def main() -> None:
    """Run the command line; the process ends with the exit code of the verb."""
    import gc
    import sys

    gc.set_threshold(_GARBAGE, *gc.get_threshold()[1:])
    from solera.cli.commands import gathered

    named = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    gathered(named)()


__all__ = ["main"]
