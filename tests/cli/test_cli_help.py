"""Help starts at once and names every verb."""

from __future__ import annotations

import os
import subprocess
import sys

VERBS = ("merge", "plan", "check", "methods", "inspect", "diff", "verify", "try", "push", "doctor")
HEAVY = ("torch", "pydantic", "huggingface_hub", "numpy", "transformers", "ruamel")
LOOK = f"""
import sys
sys.argv = ["solera", "--help"]
from solera.cli import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


def test_help_imports_nothing_heavy_and_names_all_verbs() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(verb in done.stdout for verb in VERBS)


def test_help_takes_at_most_300_ms_of_the_processor() -> None:
    as_installed = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def seconds() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-c", LOOK], capture_output=True, check=True, env=as_installed)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(5)) <= 0.3


def test_every_verb_has_help(solera) -> None:
    for verb in VERBS:
        said = solera(verb, "--help")
        assert said.code == 0
        assert "--json" in said.out


def test_version(solera) -> None:
    from solera import __version__

    assert solera("--version").out.strip() == __version__


def test_unknown_verb_is_a_usage_error(solera) -> None:
    assert solera("merje").code == 2


def test_help_is_the_same_where_only_one_verb_is_built() -> None:
    from typer.testing import CliRunner

    from solera.cli.commands import VERBS, app, gathered

    run = CliRunner().invoke
    want = run(app, ["--help"]).output
    assert [run(gathered(named), ["--help"]).output for named in ("", "merge", "lora")] == [want] * 3
    for verb in VERBS:
        assert run(gathered(verb.name), [verb.name, "--help"]).output == run(app, [verb.name, "--help"]).output
