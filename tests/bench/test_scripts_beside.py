"""Scripts beside the leaderboards on a tiny testbed: settings chosen, rows filed once, tables written."""

from __future__ import annotations

from pathlib import Path

import pytest

from solera.bench.records import read

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def beside(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import beside

    monkeypatch.setattr(beside, "FOLDER", tmp_path / "beside")
    return beside


def test_adapters_are_tuned_filed_once_and_tabled(beside, beds, monkeypatch, capsys):
    import lora_testbed

    monkeypatch.setattr(lora_testbed, "SCALES", (0.1, 1.0))
    for _ in range(2):
        lora_testbed.run("tiny", [0], beds, ["sum", "core_space.task_arithmetic"])
    rows = read(lora_testbed.VARIANT.path).rows.values()
    assert sorted({row.entry for row in rows if row.mode == "tuned"}) == [
        "core_space.task_arithmetic",
        "sum",
        "task_arithmetic",
    ]
    by_entry = {row.entry: row for row in rows if row.mode == "tuned"}
    assert [trial for trial, _ in by_entry["sum"].trials] == [{"lambda": 0.1}, {"lambda": 1.0}]
    assert by_entry["sum"].parameters == by_entry["core_space.task_arithmetic"].parameters
    assert [s.value for s in by_entry["sum"].scores] == [s.value for s in by_entry["core_space.task_arithmetic"].scores]
    assert capsys.readouterr().out.count("sum: seed 0") == 1
    assert "| `sum`, tuned |" in lora_testbed.page("tiny")


def test_statistics_are_measured_read_and_aim_goes_around_what_was_tuned(beside, beds, tmp_path, monkeypatch):
    import informed

    kept = [one for one in informed.TRIES if one.entry in ("regmean", "regmean.aim")]
    monkeypatch.setattr(informed, "TRIES", tuple(kept))
    monkeypatch.setattr(informed, "STOOD_ON", ())
    informed.run("tiny", [0], beds, tmp_path / "statistics", 8)
    rows = {row.entry: row for row in read(informed.VARIANT.path).rows.values()}
    assert list(rows) == ["base", "experts", "linear", "regmean", "regmean.aim"]
    assert len(rows["regmean"].trials) == len(informed.SHARES)
    assert rows["regmean.aim"].parameters["off_diagonal"] == rows["regmean"].parameters["off_diagonal"]
    assert rows["regmean.aim"].parameters["omega"] in informed.OMEGAS
    assert rows["regmean.aim"].model != rows["regmean"].model
    assert all(
        score.each for score, task in zip(rows["regmean"].scores, _tasks(informed), strict=True) if "/" not in task
    )
    assert "| gram, activation_norm of the base |" in informed.page("tiny")


def _tasks(informed):
    return [task.name for bed in read(informed.VARIANT.path).beds.values() for task in bed.tasks]
