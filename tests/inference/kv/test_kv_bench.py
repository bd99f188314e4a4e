"""`solera kv`: the bench on a tiny model and its tables, the list of methods, what is refused."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from solera.bench.kv import Compared, measure_quality
from solera.bench.kv_rows import QualityRow, pairs, read_method
from solera.bench.kv_table import markdown, quality_cells
from solera.cli.commands import app
from solera.errors import BadParameter, UnknownName
from solera.testbeds.contract import Built
from solera.testbeds.language import lm_stages
from solera.testbeds.language.models import new_llama, save
from solera.testbeds.language.sizes import Shape


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    """Items of the tiny lm-6, and an expert that has learnt nothing."""
    folder = tmp_path_factory.mktemp("lm")
    (folder / "data").mkdir()
    lm_stages.data(folder / "data", lambda *_: None, size="tiny", seed=0)
    tokenizer = lm_stages.tokenizer_of(folder / "data")
    save(new_llama(Shape(32, 48, 2), len(tokenizer), 0), tokenizer, folder / "expert")
    experts = {"recall": folder / "expert", "instruction": folder / "expert"}
    return Built("lm-6", "tiny", 0, folder, folder / "expert", experts, "digest")


def said(*words: str) -> tuple[int, str]:
    """Run a command; its exit code and what it printed."""
    done = CliRunner().invoke(app, ["kv", *words])
    return done.exit_code, done.stdout


def test_quality_of_every_method(built) -> None:
    told = []
    what = Compared(("recall",), budgets=(1.0, 0.5), items=6)
    rows = measure_quality(built, what, told.append)
    assert [row.method for row in rows] == ["full", "kvmerger", "kvmerger:size=attention", "cam", "h2o", "window"]
    assert [event.done for event in told] == list(range(1, what.rows() + 1))
    full, *others = rows
    assert full.nbytes == full.full_nbytes
    assert all(0.3 * full.nbytes < row.nbytes < 0.75 * full.nbytes for row in others)
    assert all(row.items == len(row.each) == 6 for row in rows)


def test_quality_refuses(built) -> None:
    with pytest.raises(UnknownName, match="recall"):
        measure_quality(built, Compared(("recal",)))
    with pytest.raises(UnknownName, match="window"):
        measure_quality(built, Compared(("recall",), methods=("windows",)))
    with pytest.raises(BadParameter, match="budget"):
        measure_quality(built, Compared(("recall",), budgets=(2.0,)))
    with pytest.raises(BadParameter, match="parameters"):
        read_method("kvmerger:size")


def test_speed_command() -> None:
    words = ["bench", "--random", "2x64", "--context", "48", "--tokens", "3", "--budgets", "1,0.5", "--method", "h2o"]
    code, text = said(*words, "--json")
    assert code == 0, text
    full, small = json.loads(text)["rows"]
    assert (full["method"], small["method"]) == ("full", "h2o")
    assert small["slots"] <= 26
    assert small["nbytes"] < 0.6 * full["nbytes"]
    assert 0 < small["own"] < 1
    assert small["tokens_per_s"] > 0
    code, text = said(*words)
    assert code == 0, text
    assert "own" in text
    assert "h2o" in text


def test_methods_command() -> None:
    code, text = said("methods", "--json")
    assert code == 0
    assert {card["name"] for card in json.loads(text)} == {"cam", "h2o", "kvmerger", "window"}
    code, text = said("methods", "kvmerger")
    assert code == 0
    assert "differs" in text
    assert "epsilon" in text


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["bench", "--random", "12", "--json"], 2),
        (["bench", "--random", "2x64", "--budgets", "half"], 2),
        (["bench", "--random", "2x64", "--budgets", "1.5"], 2),
        (["bench", "--random", "2x64", "--method", "h20"], 2),
        (["methods", "nothing"], 2),
    ],
)
def test_commands_refuse(words, code) -> None:
    assert said(*words)[0] == code


def test_tables() -> None:
    rows = [QualityRow("recall", m, b, 0.5, 0.5, 4, int(100 * b), 100, 3, 0.1) for m, b in pairs(("h2o",), (1.0, 0.5))]
    assert markdown(quality_cells(rows)).splitlines() == [
        "| method | budget | recall | bytes held |",
        "|---|---|---|---|",
        "| full | 100 % | 50.0 | 100 % |",
        "| h2o | 50 % | 50.0 | 50 % |",
    ]
