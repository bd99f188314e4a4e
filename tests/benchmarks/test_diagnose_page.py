"""The figures of docs/diagnose.md are of the testbed that is current, and its table is made of their record."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def figures(script):
    return script("diagnose")


def test_the_table_is_the_records(figures) -> None:
    kept = json.loads(figures.RESULT.read_text("utf-8"))
    assert figures.table(kept) in figures.PAGE.read_text("utf-8")


def test_all_figures_of_the_page_are_there(figures) -> None:
    shown = [line.split("](")[1].rstrip(")") for line in figures.PAGE.read_text("utf-8").splitlines() if "![" in line]
    assert len(shown) == 10
    assert {figures.PAGE.parent / name for name in shown} == set(figures.OUT.glob("*.png"))


def test_a_span_leaves_out_the_diagonal_and_what_was_not_counted(figures) -> None:
    assert figures.span(figures.pairs([[1.0, 0.25, None], [0.5, 1.0, 0.75]])) == [0.25, 0.5, 0.75]
    assert figures.span([]) == []
