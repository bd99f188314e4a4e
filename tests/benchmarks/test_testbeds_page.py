"""docs/testbeds.md is made of records, and of nothing else; records are made of manifests."""

import json
import re
import types
from pathlib import Path

import pytest

from solera.testbeds.cache import Stored

ROOT = Path(__file__).parents[2]
GEOMETRY = {"cosines": [[1.0, 0.5], [0.5, 1.0]], "norms": {"a": 3.0, "b": 4.0}}


@pytest.fixture(scope="module")
def bench(script):
    return types.SimpleNamespace(
        records=script("testbeds"),
        page=script("testbeds_page"),
        words=script("testbeds_words"),
        figure=script("testbeds_figure"),
    )


@pytest.fixture(scope="module")
def found(bench):
    return json.loads(bench.records.RESULT.read_text("utf-8"))


def test_the_page_is_what_the_records_say(bench, found) -> None:
    assert bench.page.PAGE.read_text("utf-8") == bench.page.page(found)


def test_the_words_hold_no_numbers_of_their_own(bench) -> None:
    names = r"vision-8|text-6|lm-6|moe-8|seeds-4|--seed 1|seed 0|Qwen3"
    for text in (*bench.words.ABOUT.values(), *(v for v in vars(bench.words).values() if isinstance(v, str))):
        if text is not bench.words.__file__ and text is not bench.words.__cached__:
            assert not re.search(r"\d", re.sub(names, "", text)), text


def test_every_testbed_was_built_twice_with_equal_digests(found) -> None:
    assert {row["testbed"] for row in found["twice"]} == set(found["kinds"])
    assert all(row["equal"] and row["facts equal"] for row in found["twice"])


def test_records_are_of_the_versions_that_are_built_today(bench, found) -> None:
    assert {row["version"] == found["kinds"][row["testbed"]]["version"] for row in found["records"]} == {True}
    assert {n: k["version"] for n, k in found["kinds"].items()} == {
        n: k["version"] for n, k in bench.records.kinds().items()
    }


def test_figures_of_diagnose_are_of_the_same_testbed(found) -> None:
    drawn = json.loads((ROOT / "benchmarks/results/diagnose.json").read_text("utf-8"))
    same = [r for r in found["records"] if (r["testbed"], r["size"], r["seed"]) == ("vision-8", "small", 0)]
    assert drawn["digest"] == same[0]["digest"]


def test_every_panel_has_points_for_every_task(bench, found) -> None:
    for row in bench.page.first(found):
        rows = bench.figure.table(row)
        assert rows
        assert all(0 <= x <= 100 for lines in rows.values() for each in lines.values() for x in each)


def test_both_forms_of_geometry_become_one(bench) -> None:
    vision = {
        **GEOMETRY,
        "base_norm": 10.0,
        "effective_ranks": {"a": 2.0, "b": 4.0},
        "full_rank": 8,
        "sign_conflict": 0.5,
    }
    language = {**GEOMETRY, "relative": {"a": 0.3, "b": 0.4}, "rank": {"a": 0.25, "b": 0.5}, "conflict": 0.5}
    one, two = bench.records.kin(vision), bench.records.kin(language)
    assert one.pop("rank of") != two.pop("rank of")
    assert one == two
    assert one["nearest"]["a"] == ["b", 0.5]


def sealed(folder, digest, seconds, **facts):
    folder.mkdir()
    kept = {"digest": digest, "facts": facts, "built": {"time": "2026-01-02T03:04:05Z", "seconds": seconds}}
    (folder / "testbed.json").write_text(json.dumps(kept), "utf-8")
    return Stored("vision-8", "small", 0, 2, folder)


def test_two_builds_may_differ_in_times_alone(bench, tmp_path) -> None:
    first = sealed(tmp_path / "a", "d", 10.0, average=1, cpu={"base": 2.0})
    second = sealed(tmp_path / "b", "d", 20.0, average=1, cpu={"base": 3.0})
    third = sealed(tmp_path / "c", "e", 20.0, average=2)
    row = bench.records.twice(first, second)
    assert (row["equal"], row["facts equal"], row["cpu"]) == (True, True, [2.0, 3.0])
    row = bench.records.twice(first, third)
    assert (row["equal"], row["facts equal"]) == (False, False)


def test_a_bound_that_is_missed_is_said_loudly(bench, found) -> None:
    worse = json.loads(json.dumps(found))
    next(iter(worse["records"][0]["gate"].values()))["ok"] = False
    worse["records"][0]["seconds"] = 3600
    worse["twice"][0]["equal"] = False
    said = bench.page.page(worse)
    assert (said.count("MISSED"), said.count("NOT EQUAL")) == (3, 1)
    assert "MISSED" not in bench.page.page(found)
