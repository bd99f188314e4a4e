"""The page is made of the rows, and of nothing else."""

import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
REPORT = {"passes": 1, "memory_bytes": 1 << 20, "bytes_read": 2, "bytes_written": 1}


@pytest.fixture(scope="module")
def bench(script):
    return {name: script(name) for name in ("page", "results", "targets", "matrix")}


def row(method, size, wall, floor, *, theirs=None, **more):
    marks = {"work began": 1.0, "work ended": 2.0, "tensor began": 0.5}
    ours = {"wall": wall, "cpu": wall, "read": 1, "written": 1, "disk_read": 0, "disk_written": 0}
    other = theirs and {"wall": theirs, "cpu": theirs, "peak_rss": 1 << 30}
    return {
        "kind": "merge", "method": method, "size": size, "models": 3, "place": "memory", "threads": 2,
        "parameters": 1, "ours": {**ours, "report": REPORT}, "peak_rss": 1 << 28,
        "peak_anon": 1 << 27, "floor": {"seconds": floor, "fsync": 0.0}, "theirs": other, "others": 0.0, "load": 0.1,
        "clocks": {"spent": {"digest": 0.1, "journal": 0.1}, "marks": marks}, "walls": {}, "date": "2026-01-02T03:04",
        "machine": "a machine", "code": "abc", **more,
    }  # fmt: skip


def keyed(bench, *rows):
    return {bench["results"].key_of(r): r for r in rows}


def test_floors_are_the_slope_between_two_sizes(bench):
    rows = keyed(bench, row("linear", "0.1", 1.0, 0.2), row("linear", "1.1", 4.0, 2.2))
    assert bench["targets"].times_floor(rows, "linear") == (pytest.approx(1.5), "0.1 to 1.1 B")


def test_floors_in_a_running_process_go_before_those_of_whole_ones(bench):
    whole = row("linear", "0.1", 1.0, 0.2), row("linear", "1.1", 4.0, 2.2)
    running = row("linear", "0.1", 0.3, 0.2, kind="running"), row("linear", "1.1", 2.7, 2.2, kind="running")
    rows = keyed(bench, *whole, *running)
    assert bench["targets"].times_floor(rows, "linear") == (pytest.approx(1.2), "0.1 to 1.1 B, running")
    assert "| linear | 0.30 | 0.20 | 2.70 | 2.70 | 2.20 | 1.2 | 1.5 |" in bench["page"].page(rows, [])


def test_with_one_size_a_tiny_merge_stands_for_the_start_up(bench):
    rows = keyed(bench, row("linear", "0.1", 1.0, 0.2), row("linear", "tiny", 0.6, 0.001))
    assert bench["targets"].times_floor(rows, "linear")[0] == pytest.approx(2.0)


def test_a_class_is_met_only_by_all_its_methods(bench):
    both = [
        row(m, s, w, f) for m in ("linear", "task_arithmetic") for s, w, f in (("tiny", 0.5, 0.0), ("0.1", 0.8, 0.2))
    ]
    of_class = bench["targets"].of_class
    assert of_class(keyed(bench, *both), "", 1.5).measured.startswith("linear 1.5, task_arithmetic 1.5")
    assert of_class(keyed(bench, *both[:2]), "", 1.5).met is not True
    slow = row("task_arithmetic", "0.1", 9.0, 0.2)
    assert of_class(keyed(bench, *both, slow), "", 1.5).met is False


def test_rows_are_appended_and_the_last_counts_and_a_torn_line_is_passed_over(bench, tmp_path):
    results = bench["results"].Results(tmp_path / "rows.jsonl")
    results.append({"kind": "merge", "method": "ties", "others": 0.9})
    results.append({"kind": "merge", "method": "ties", "others": 0.1})
    with results.path.open("a") as file:
        file.write('{"kind": "mer')
    (only,) = results.latest().values()
    assert only["others"] == 0.1
    assert results.finished("", 0.5) == {bench["results"].key_of(only)}
    assert not results.finished("", 0.05)
    assert not results.finished("9999", 0.5)


def test_the_page_shows_what_was_measured_and_says_what_was_not(bench):
    rows = keyed(bench, row("ties", "0.1", 1.0, 0.25, theirs=30.0))
    text = bench["page"].page(rows, [])
    assert "| ties | 0.1 | 1.00 | 30.0 | 30.0 |" in text
    assert "ties 30.0 | met |" in text
    assert "not measured" in text
    assert "a machine" in text


def test_a_disturbed_row_neither_meets_nor_misses(bench):
    rows = keyed(bench, row("ties", "0.1", 1.0, 0.25, theirs=30.0, others=0.9))
    assert "ties 30.0 | disturbed |" in bench["page"].page(rows, [])


def test_the_full_matrix_holds_the_short_one(bench):
    short, full = (bench["matrix"].jobs(full=f) for f in (False, True))
    assert full[: len(short)] == short
    assert len({tuple(j.key().values()) for j in full}) == len(full)
    assert json.dumps([j.key() for j in full])
