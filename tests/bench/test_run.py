"""Methods measured on a tiny testbed."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

import solera
from solera.bench import evaluate_on_testbed, read, run
from solera.bench.arena import TestbedSource, tensors_of
from solera.bench.entries import Entry, field_of
from solera.bench.leaderboard import board
from solera.cli.commands import app
from solera.errors import NotFound, ShapeMismatch, UnknownName
from solera.evaluate import ScoreCache
from solera.recipe import from_options

METHODS = ["linear", "ties", "slerp", "emr"]


@pytest.fixture
def source(beds):
    return TestbedSource("vision-8", "tiny", folder=beds)


def _entries(*names):
    return field_of(8, based=True, methods=names or METHODS).entries


def test_rows_are_measured_once(source, tmp_path):
    file, seen = tmp_path / "r.jsonl", []
    assert run([source], _entries(), file, workers=1, on_event=seen.append) == 2 + 2 * len(METHODS)
    assert {event.kind for event in seen} == {"progress"}
    before = file.read_bytes()
    assert run([source], _entries(), file, workers=1) == 0
    assert file.read_bytes() == before
    assert run([source], _entries("linear", "ties", "median"), file, workers=1) == 2
    assert run([source], _entries("median"), file, workers=1, fresh=True) == 4

    found = board(read(file), "vision-8", "tiny")
    experts = found.line("experts", "default")
    assert experts.held_in == pytest.approx(1.0)
    assert found.line("ties", "tuned").trials == 8
    assert found.line("linear", "tuned").trials == 0
    assert found.line("slerp", "default").how == "mean fold"
    assert found.line("emr", "default").groups.keys() == {"held-in", "corrupted"}
    assert found.line("ties", "tuned").bytes_read > 0
    assert not found.failed


def test_a_row_is_what_merging_and_evaluating_by_hand_gives(source, beds, tmp_path):
    file = tmp_path / "r.jsonl"
    run([source], _entries("ties"), file, workers=1)
    row = next(row for row in read(file).rows.values() if (row.entry, row.mode) == ("ties", "tuned"))
    built = next(beds.iterdir())
    experts = [str(built / "experts" / name) for name in source.open().experts]
    recipe = from_options(experts, base=str(built / "base"), method="ties", parameters=row.parameters)
    report = solera.merge(recipe, tmp_path / "out")
    assert report.digest == row.model
    scores = evaluate_on_testbed(str(tmp_path / "out"), "vision-8", size="tiny", folder=beds)
    by_hand = [score.value for score in scores if score.metric == "accuracy"]
    assert by_hand == pytest.approx([score.value for score in row.scores], abs=1e-6)


def test_what_fails_is_a_row_that_says_why_and_is_tried_again(source, tmp_path):
    file, seen = tmp_path / "r.jsonl", []
    broken = [Entry("broken", "ties", fixed={"density": 7.0})]
    assert run([source], broken, file, workers=1, on_event=seen.append) == 4
    assert sum(event.kind == "warning" for event in seen) == 2
    assert "density" in board(read(file), "vision-8", "tiny").failed[("broken", "tuned")]
    assert run([source], broken, file, workers=1) == 2


def test_adapters_are_merged_as_they_lie_on_the_base(beds, tmp_path):
    source = TestbedSource("vision-8", "tiny", adapters=True, folder=beds)
    file = tmp_path / "r.jsonl"
    run([source], _entries("linear"), file, workers=1)
    found = board(read(file), "vision-8", "tiny", "adapters")
    assert len(found.beds[0].experts) == 8
    assert found.line("linear", "default") is not None


def test_two_workers_give_the_rows_of_one(source, tmp_path):
    for workers in (1, 2):
        run([source], _entries("linear"), tmp_path / f"{workers}.jsonl", workers=workers)
    one, two = (
        {key: (row.scores, row.parameters, row.model) for key, row in read(tmp_path / f"{n}.jsonl").rows.items()}
        for n in (1, 2)
    )
    assert one == two


def test_the_cache_of_scores_serves_evaluate_and_bench_alike(source, beds, tmp_path, monkeypatch):
    from solera.evaluate import scoring

    cache = ScoreCache(tmp_path / "scores.sqlite")
    arena = source.open(cache)
    first = arena.scores(tensors_of(arena.base), arena.tasks["test"])
    monkeypatch.setattr(scoring, "_measured", None)
    folder = next(beds.iterdir()) / "base"
    again = evaluate_on_testbed(str(folder), "vision-8", size="tiny", folder=beds, cache=cache)
    assert [s.value for s in again if s.metric == "accuracy"] == [s.value for s in first.values()]


def test_models_that_do_not_fit_are_refused(beds, zoo):
    with pytest.raises((ShapeMismatch, NotFound, Exception)) as caught:
        evaluate_on_testbed(str(zoo(experts=0)["base"]), "vision-8", size="tiny", folder=beds)
    assert caught.type.__module__ == "solera.errors"
    with pytest.raises(UnknownName, match="did you mean `vision-8`"):
        evaluate_on_testbed("x", "vision8", folder=beds)
    with pytest.raises(NotFound, match="not built"):
        evaluate_on_testbed("x", "vision-8", size="tiny", seed=9, folder=beds)


def _solera(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_commands(beds, tmp_path):
    pytest.importorskip("matplotlib")
    bed = ("--size", "tiny", "--cache", beds)
    built = next(beds.iterdir())
    said = _solera("evaluate", built / "base", "--testbed", "vision-8", *bed)
    assert said.exit_code == 0
    assert "rotated (accuracy)" in said.output
    adapted = f"{built / 'base'}+{built / 'adapters' / 'rotated'}"
    rows = json.loads(_solera("evaluate", adapted, "--testbed", "vision-8", *bed, "--json").stdout)
    assert {row["group"] for row in rows} == {"held-in", "unseen", "corrupted"}
    some = _solera("evaluate", built / "base", "--testbed", "vision-8", *bed, "--only", "rotated,thirds", "--json")
    assert {row["task"] for row in json.loads(some.stdout)} == {"rotated", "thirds"}
    wrong = _solera("evaluate", built / "base", "--testbed", "vision-8", *bed, "--only", "rotatd")
    assert (wrong.exit_code, "did you mean `rotated`" in wrong.stderr) == (2, True)
    silent = _solera("evaluate", built / "base", "--testbed", "vision-8", *bed, "--written")
    assert (silent.exit_code, "write nothing" in silent.stderr) == (2, True)
    asked = ("bench", "vision-8", *bed, "--methods", "linear", "--workers", 1, "--records", tmp_path / "r.jsonl")
    told = json.loads(_solera(*asked, "--json").stdout)
    assert {line["entry"] for line in told["lines"]} == {"linear", "base", "experts"}
    told = _solera(*asked[:-4], "--methods", "fisher", *asked[-4:])
    assert "fisher takes no part: needs statistics" in " ".join(told.stderr.split())
    shown = _solera(*asked, "--pages", tmp_path / "docs")
    assert shown.exit_code == 0
    assert "experts" in shown.output
    assert (tmp_path / "docs" / "vision-8-tiny.md").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("evaluate", "x"), 2, "--testbed"),
        (("evaluate", "x", "--testbed", "vision8"), 2, "did you mean"),
        (("evaluate", "x", "--tasks", "a", "--only", "b"), 2, "of testbeds"),
        (("bench",), 2, "One testbed"),
        (("bench", "vision-8", "--size", "huge"), 2, "no such size"),
        (("bench", "--models", "a", "b"), 2, "--tasks"),
        (("bench", "vision-8", "--size", "tiny", "--seeds", 1), 3, "not built"),
        (("bench", "moe-8", "--size", "tiny"), 2, "no experts of one base"),
        (("bench", "seeds-4", "--size", "tiny"), 2, "one of vision-8, text-6, lm-6"),
    ],
)
def test_commands_refuse(words, code, says, tmp_path, monkeypatch):
    monkeypatch.setenv("SOLERA_CACHE", str(tmp_path))
    found = _solera(*words)
    assert found.exit_code == code
    assert says in found.stderr


def test_a_merge_leaves_the_resident_module_as_loaded(source):
    arena = source.open()
    names = list(arena.module.state_dict())
    arena.scores(tensors_of(next(iter(arena.experts.values()))), arena.tasks["test"][:1])
    assert list(arena.module.state_dict()) == names
    assert not arena.module.training
    assert all(p.dtype == torch.float32 for p in arena.module.parameters())
