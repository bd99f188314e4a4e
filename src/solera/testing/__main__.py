"""``python -m solera.testing [METHOD ...]``: check the laws of the named methods; without a name, list the opt-outs."""

from __future__ import annotations

import argparse
import sys

from solera.errors import SoleraError
from solera.registry import load_plugin
from solera.testing.laws import check_method_laws, optouts_table
from solera.testing.verdict import LawBroken


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code is 1 when a law is broken."""
    parser = argparse.ArgumentParser(prog="python -m solera.testing", description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="a method to check")
    parser.add_argument("--plugin", metavar="FILE", help="a Python file that registers methods; they are checked")
    given = parser.parse_args(arguments)
    try:
        names = [*given.methods, *(load_plugin(given.plugin) if given.plugin else ())]
        broken = {name: _broken(name) for name in names}
    except SoleraError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    lines = [text or f"Method `{name}` obeys every law." for name, text in broken.items()] or [optouts_table()]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(any(broken.values()))


def _broken(name: str) -> str:
    try:
        check_method_laws(name)
    except LawBroken as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.exit(main())
