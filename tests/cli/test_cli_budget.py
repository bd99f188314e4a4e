"""analyze, and --budget of plan and merge."""

from __future__ import annotations

import pytest


@pytest.fixture
def models(zoo, tmp_path, monkeypatch):
    monkeypatch.setenv("SOLERA_CACHE", str(tmp_path / "cache"))
    return zoo(experts=2)


def test_analyze_then_merge(solera, models, tmp_path):
    base, *experts = models.values()
    done = solera("analyze", *experts, "--base", base)
    assert done.code == 0
    assert "change 1.98% of the base" in done.out
    again = solera("analyze", *experts, "--base", base, "--json").data
    assert [one["known"] for one in again] == [True, True]
    words = [*experts, "--base", base, "--method", "ties", "--budget", "30%", "--budget-floor", "1%"]
    planned = solera("plan", *words, "--json").data["budget"]
    assert planned["thresholds"] == "exact"
    assert "are read beside the base" in solera("plan", *words).out
    made = solera("merge", *words, "-o", tmp_path / "out", "--json").data["budget"]
    assert made["read"] == made["planned"] == planned["planned"] <= planned["limit"]
    recipe = next((tmp_path / "out").glob("*.yaml"))
    assert 'budget: {amount: "30%", floor: "1%"}' in recipe.read_text()
    assert solera("merge", recipe, tmp_path / "again", "--json").data["budget"]["read"] == made["read"]
    text = solera("merge", recipe, tmp_path / "third", "--budget", "0", "--budget-floor", "0%").out
    assert "budget: 0 B of" in text


def test_sketches_in_a_folder(solera, models, tmp_path):
    base, *experts = models.values()
    assert solera("analyze", *experts, "--base", base, "-o", tmp_path / "s").code == 0
    words = [*experts, "--base", base, "--method", "ties", "--budget", "30%"]
    failed = solera("plan", *words)
    assert failed.code == 4
    assert "solera analyze" in failed.err
    assert solera("plan", *words, "--sketches", tmp_path / "s").code == 0


@pytest.mark.parametrize("words", [["--budget", "-5%"], ["--budget", "much"], ["--budget-floor", "5%"]])
def test_options_that_cannot_be_read(solera, models, words):
    base, *experts = models.values()
    failed = solera("plan", *experts, "--base", base, "--method", "ties", *words)
    assert failed.code == 2
    assert "udget" in failed.err
