"""``solera testbed``: build, list, show, remove."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from solera.cli.commands import app


@pytest.fixture
def said(kind, tmp_path):
    kind()

    def run(*words: str, cache: bool = True):
        return CliRunner().invoke(app, ["testbed", *words, *(["--cache", str(tmp_path / "cache")] if cache else [])])

    return run


def test_build_show_and_remove(said) -> None:
    built = said("build", "toy", "--size", "tiny", "--json")
    assert built.exit_code == 0
    assert list(json.loads(built.stdout)["experts"]) == ["b", "a", "c"]
    shown = said("show", "toy", "--size", "tiny")
    assert json.loads(built.stdout)["digest"] in shown.stdout
    folder = json.loads(built.stdout)["folder"]
    assert f"removed {folder}" in said("remove", "toy", "--size", "tiny").stdout
    assert "nothing to remove" in said("remove", "toy", "--size", "tiny").stdout


def test_list_names_what_is_built(said) -> None:
    assert "none is built" in said("list").stdout
    said("build", "toy", "--size", "tiny")
    listed = said("list").stdout
    assert "vision-8" in listed
    assert "toy-tiny-0-v1  ready" in listed
    row = json.loads(said("list", "--json").stdout)["built"][0]
    assert (row["name"], row["standing"]) == ("toy", "ready")


def test_list_says_what_is_damaged(said, tmp_path) -> None:
    said("build", "toy", "--size", "tiny")
    (tmp_path / "cache" / "toy-tiny-0-v1" / "testbed.json").write_text("{")
    assert "toy-tiny-0-v1  damaged:" in said("list").stdout
    assert json.loads(said("list", "--json").stdout)["built"][0]["standing"].startswith("damaged:")


def test_errors_have_their_exit_codes(said) -> None:
    unknown = said("build", "vison-8")
    assert unknown.exit_code == 2
    assert "did you mean `vision-8`?" in unknown.stderr
    absent = said("show", "toy", "--json")
    assert absent.exit_code == 3
    assert "not built" in json.loads(absent.stdout)["error"]["faults"][0]["what"]


def test_every_verb_has_json(said) -> None:
    for verb in ("build", "list", "show", "remove"):
        assert "--json" in said(verb, "--help", cache=False).stdout
