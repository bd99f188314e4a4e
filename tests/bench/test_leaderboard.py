"""From records to boards, agreement, claims and pages."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.bench.rows import HALF, RIGHT, WRONG, bed, records, row

from solera.bench import agreement, claims
from solera.bench.claims import Claim, judge, parse
from solera.bench.leaderboard import board, boards
from solera.bench.pages import board_json, write_pages
from solera.bench.records import Records, Scored, append
from solera.errors import SoleraError

ROWS = {
    "experts": [RIGHT, HALF, None, RIGHT],
    "base": [WRONG, WRONG, HALF, WRONG],
    "linear": [HALF, WRONG, HALF, WRONG],
    "ties": [RIGHT, HALF, RIGHT, HALF],
}


def test_scores_are_shares_of_the_experts():
    found = board(records(ROWS), "vision-8", "small")
    assert [line.name[0] for line in found.lines if line.name[1] == "tuned"] == ["ties", "linear"]
    ties = found.line("ties", "tuned")
    assert {group: value.value for group, value in ties.groups.items()} == {
        "held-in": 1.0,
        "unseen": 1.0,
        "corrupted": 0.5,
    }
    assert ties.tasks == {"a": 1.0, "b": 1.0, "new": 1.0, "a/noise": 0.5}
    assert ties.gain.value == pytest.approx(0.75)
    assert found.line("linear", "default").gain.plain() == [0.0, 0.0, 0.0]
    assert found.line("experts", "default").groups.keys() == {"held-in", "corrupted"}


def test_the_figure_names_the_metric_of_its_axis():
    from solera.bench.figure import measured

    of = bed(testbed="lm-6")
    exact = replace(of, tasks=tuple(replace(task, metric="exact") for task in of.tasks))
    rows = [row("experts", "default", ROWS["experts"], exact), row("ties", "tuned", ROWS["ties"], exact)]
    found = board(Records({exact.key: exact}, {r.key: r for r in rows}), "lm-6", "small")
    assert measured(found).startswith("held-in exact match, % of the expert's, mean of 1 seed,")
    assert measured(board(records(ROWS, seeds=2), "vision-8", "small")).startswith("held-in accuracy, ")


def test_intervals_are_those_of_items_and_paired():
    found = board(records(ROWS, seeds=3), "vision-8", "small")
    linear = found.line("linear", "default").groups["held-in"]
    assert linear.low < linear.value < linear.high
    same = found.difference(("ties", "default"), ("ties", "tuned"))
    assert same.plain() == [0.0, 0.0, 0.0]
    assert found.difference(("ties", "default"), ("none", "tuned")) is None
    assert found.difference(("experts", "default"), ("ties", "tuned"), "unseen") is None


def test_tasks_that_view_the_same_items_draw_them_together():
    found = board(records({**ROWS, "experts": [RIGHT] * 4, "ties": [HALF] * 4}), "vision-8", "small")
    drawn = found.replicates["ties", "tuned"]["held-in"]
    assert drawn.std() == pytest.approx(0.25, rel=0.1), "two views of four images are worth four items, not eight"


def test_without_items_one_seed_gives_no_interval_and_several_do():
    def of(seeds):
        made = records(ROWS, seeds=seeds)
        bare = {
            k: replace(r, scores=(*r.scores[:3], Scored(r.scores[3].value + r.seed / 9))) for k, r in made.rows.items()
        }
        return board(Records(made.beds, bare), "vision-8", "small")

    assert of(1).line("ties", "tuned").groups["corrupted"].plain() == [0.5, None, None]
    assert of(1).difference(("ties", "tuned"), ("linear", "tuned"), "corrupted").plain() == [0.5, None, None]
    several = of(3).line("ties", "tuned").groups["corrupted"]
    assert several.low < several.value < several.high


def test_entries_that_made_one_model_are_told():
    rows = [
        row(entry, "tuned", ROWS["ties"], bed(), model=digest) for entry, digest in (("a", "1"), ("b", "1"), ("c", "2"))
    ]
    made = records(ROWS)
    found = board(Records(made.beds, {**made.rows, **{r.key: r for r in rows}}), "vision-8", "small")
    assert found.equals() == ((("a", "tuned"), ("b", "tuned")),)


def test_an_expert_that_scores_nothing_is_left_out():
    found = board(records({**ROWS, "experts": [RIGHT, WRONG, None, RIGHT]}), "vision-8", "small")
    assert found.line("ties", "tuned").held_in == 1.0
    assert np.isnan(found.line("ties", "tuned").tasks["b"])


def test_of_two_testbeds_of_a_seed_the_later_counts_and_failures_are_told():
    old, new = records(ROWS), records({**ROWS, "ties": [WRONG, WRONG, WRONG, WRONG]}, digest="new")
    failed = row("sce", "tuned", [], bed(digest="new"), failed="no")
    both = Records({**old.beds, **new.beds}, {**old.rows, **new.rows, failed.key: failed})
    found = board(both, "vision-8", "small")
    assert found.line("ties", "tuned").held_in == 0.0
    assert found.failed == {("sce", "tuned"): "no"}
    assert board(both, "vision-8", "full") is None
    assert len(boards(both)) == 1


def _many(order):
    """Entries with as many right items of 100 as told."""
    tasks = {name: [tuple(float(i < right) for i in range(100))] * 2 for name, right in order.items()}
    return {name: [*each, None, None] for name, each in tasks.items()}


def _board(order, **which):
    found = records(_many({"experts": 100, **order}), **which)
    small = [replaced(b) for b in found.beds.values()]
    return board(Records({b.key: b for b in small}, found.rows), "vision-8", which.get("size", "small"))


def replaced(bed_record):
    from dataclasses import replace

    tasks = tuple(replace(task, items=100) for task in bed_record.tasks)
    return replace(bed_record, tasks=tasks)


def test_agreement_needs_six_methods():
    few = agreement.agreement(_board({"linear": 60, "ties": 70, "task_arithmetic": 65}))
    assert few.rho is None
    assert [pair.name[0] for pair in few.pairs] == ["ties", "task_arithmetic", "linear"]
    assert few.disagreements == ()


def test_agreement_says_how_far_and_where_not():
    order = {"linear": 60, "task_arithmetic": 65, "ties": 70, "iso_cts": 90, "iso_c": 91, "wudi": 40}
    found = agreement.agreement(_board(order))
    assert found.rho.value == pytest.approx(1 - 6 * (25 + 5) / 210)
    assert len(found.pairs) == 6
    assert {d.above for d in found.disagreements} == {"WUDI"}
    assert all(d.sure for d in found.disagreements)
    assert json.dumps(agreement.as_json(found))
    assert agreement.agreement(board(records(ROWS, testbed="lm-6"), "lm-6", "small")) is None


@pytest.mark.parametrize(
    ("ties", "test", "verdict"),
    [
        (90, "ties > linear", "holds"),
        (30, "ties > linear", "does not hold"),
        (61, "ties > linear", "undecided"),
        (61, "ties > linear - 0.5", "holds"),
        (90, "ties > 0.99", "does not hold"),
        (90, "ties > mean(linear, base) + 0.1", "holds"),
        (90, "ties > pcb", "not testable here"),
    ],
)
def test_verdicts_come_from_the_records(ties, test, verdict):
    found = _board({"linear": 60, "ties": ties, "base": 30})
    claim = Claim("x", "y", testbed="vision-8", test=(parse(test),))
    assert judge(claim, [found]).verdict == verdict


def test_a_tiny_testbed_judges_nothing():
    tiny = _board({"linear": 60, "ties": 90}, size="tiny")
    assert (
        judge(Claim("x", "y", testbed="vision-8", test=(parse("ties > linear"),)), [tiny]).verdict
        == "not testable here"
    )


def test_every_claim_is_readable_and_names_methods_or_probes():
    known = {probe.name for probe in claims.probes()} | {"base", "experts"}
    from solera.registry import cards

    named = {
        name
        for claim in claims.claims()
        if claim.variant in ("experts", "adapters")  # entries of other variants are a script's own
        for test in claim.test
        for side in (test.left, test.right)
        for name, _ in side.names
    }
    assert {name for name in named if name not in known | set(cards())} <= {"opcm"}, "claims of methods to come"
    with pytest.raises(SoleraError, match="cannot be read"):
        parse("ties is better")
    with pytest.raises(SoleraError, match="cannot be read"):
        parse("ties@nowhere > linear")


def test_pages_are_made_from_records_alone_and_alike_each_time(tmp_path):
    pytest.importorskip("matplotlib")
    made = records(ROWS, seeds=2)
    (tmp_path / "records").mkdir()
    append(tmp_path / "records" / "vision-8.jsonl", [*made.beds.values(), *made.rows.values()])
    first = {path.name: path.read_bytes() for path in write_pages(tmp_path / "records", tmp_path / "docs")}
    second = {path.name: path.read_bytes() for path in write_pages(tmp_path / "records", tmp_path / "docs")}
    assert first == second
    assert set(first) == {"vision-8.md", "vision-8.json", "vision-8.png", "vision-8.svg", "leaderboard.md", "claims.md"}
    text = first["vision-8.md"].decode()
    assert "| 1 | `ties` | 100.0 | 100.0 |" in text
    assert "figures/vision-8.png" in text
    assert "3 methods are common" not in text
    assert "2 methods are common to both" in text
    assert "not measured: task_arithmetic (tuned)" in first["claims.md"].decode()
    data = json.loads(first["vision-8.json"])
    assert data["agreement"]["spearman"] is None
    assert data == json.loads(json.dumps(board_json(board(made, "vision-8", "small"))))
