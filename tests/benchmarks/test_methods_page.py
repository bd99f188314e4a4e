"""The benchmark of all methods: its page is made of rows, and its clock counts what it should."""

import time
import types
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def bench(script):
    return types.SimpleNamespace(all=script("methods_all"), page=script("methods_page"), results=script("results"))


def rows_of(bench, *found):
    rows = [{**bench.all.key(method, models), **more} for method, models, more in found]
    return {bench.results.key_of(row): row for row in rows}


def row(cpu, **more):
    made = {"cpu": cpu, "wall": 2 * cpu, "service": 0.0, "peak": 8 << 20, "largest": 2 << 20, "parameters": 10**6}
    where = {"machine": "m", "code": "c", "date": "2026-01-02T03:04:05", "others": 0.0, "load": 0.0}
    return {**made, "floor": 0.01, **where, **more}


def test_the_page_is_made_of_the_rows(bench):
    eight = row(4.0, service=1.0)
    found = rows_of(bench, ("a", 2, row(2.0)), ("a", 8, eight), ("a", 20, row(10.0)), ("b", 2, row(1.0, others=1.5)))
    text = bench.page.page(found, {"c": "needs something"})
    assert "| a | 2 | 4 | 10 | 5.0 | 4.0 | 4.0 | 4.0 | 800 | 25% |" in text
    assert "| b* | 1 |" in text
    assert "- c: needs something" in text
    assert "disturbed" not in text


def test_a_failed_row_is_named_and_taken_again(bench, tmp_path):
    results = bench.results.Results(tmp_path / "rows.jsonl")
    results.append({**bench.all.key("a", 2), **row(1.0)})
    results.append({**bench.all.key("b", 2), "error": "stopped after 1 s", "others": 0.0, "load": 0.0})
    assert results.finished("", 1.0) == {tuple(bench.all.key("a", 2).values())}
    assert "- b, 2 experts: stopped after 1 s" in bench.page.page(results.latest(), {})


def test_every_data_free_method_is_taken(bench):
    from solera.bench.entries import field_of

    chosen = list(bench.all.jobs(None, [2, 8]))
    assert {name for name, count in chosen if count == 8} == {
        *bench.all.BESIDE,
        *(entry.method for entry in field_of(8, based=True).entries),
    }
    assert list(bench.all.jobs(["ties"], [2])) == [("ties", 2)]


def test_the_clock_counts_outermost_calls(bench):
    clock = bench.all.Clock()

    def spin():
        began = time.process_time()
        while time.process_time() - began < 0.01:
            pass

    inner = clock.around(spin)
    clock.around(lambda: (inner(), inner()))()
    assert clock.calls == 1
    assert 0.02 <= clock.seconds < 1
