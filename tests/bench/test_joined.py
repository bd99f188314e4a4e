"""Rows that scripts filed beside a leaderboard: they join it where the testbed is the same, and only there."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest
from tests.bench.rows import HALF, RIGHT, WRONG, bed, records, row

from solera.bench import agreement
from solera.bench.leaderboard import board
from solera.bench.pages import board_json, write_pages
from solera.bench.records import Records, append
from solera.bench.wider import wider
from solera.bench.written import ANSWERS, LENGTHS, ranked, writing

OWN = {
    "experts": [RIGHT] * 4,
    "base": [WRONG] * 4,
    "linear": [WRONG, HALF, HALF, HALF],
    "ties": [RIGHT, HALF, HALF, HALF],
    "task_arithmetic": [HALF] * 4,
    "wudi": [RIGHT, RIGHT, HALF, HALF],
    "iso_c": [HALF, RIGHT, HALF, HALF],
}


def filed(variant, entry, seeds, *, experts=(RIGHT,) * 4, digest="d"):
    """Records of a script: experts and one entry, scored as the right answers."""
    found = []
    for seed in seeds:
        of = replace(bed(seed, digest=digest), variant=variant)
        found += [of, row("experts", "default", list(experts), of), row(entry, "default", [RIGHT] * 4, of)]
    return found


def joined(*lists):
    every = [record for records_ in lists for record in records_]
    return Records({r.key: r for r in every if r.kind == "bed"}, {r.key: r for r in every if r.kind == "row"})


def plain(made):
    return [*made.beds.values(), *made.rows.values()]


def test_methods_of_the_published_table_join_over_the_seeds_of_all():
    made = records(OWN, seeds=3)
    known = board(made, "vision-8", "small")
    found = agreement.agreement(known, joined(plain(made), filed("informed", "regmean", (0, 1))))
    assert (len(found.pairs), found.seeds) == (6, (0, 1))
    assert next(pair for pair in found.pairs if pair.published == "RegMean").ours == 1.0
    assert found.rho is not None
    assert (found.alone.rho, found.alone.seeds, len(found.alone.pairs)) == (None, (0, 1, 2), 5)
    data = agreement.as_json(found)
    assert (data["seeds"], data["n"], data["alone"]["n"]) == ([0, 1], 6, 5)
    assert json.dumps(data)


@pytest.mark.parametrize("other", [{"digest": "e"}, {"experts": (HALF,) * 4}])
def test_rows_of_another_testbed_or_of_other_experts_stay_out(other):
    made = records(OWN, seeds=2)
    known = board(made, "vision-8", "small")
    found = agreement.agreement(known, joined(plain(made), filed("informed", "regmean", (0, 1), **other)))
    assert (len(found.pairs), found.alone) == (5, None)


def test_the_boards_own_row_goes_before_anothers():
    made = records(OWN)
    known = board(made, "vision-8", "small")
    found = wider(joined(plain(made), filed("informed", "linear", (0,))), known, {"linear"})
    assert found.line("linear", "default").held_in == 0.25
    assert found.line("ties", "default") is None


def written(entry, values, **more):
    """One seed's records of what was written: answers of items, and six tokens for each."""
    answers, lengths = (replace(bed(), variant=variant) for variant in (ANSWERS, LENGTHS))
    facts = tuple(replace(task, metric="length", expert=None, higher=False) for task in lengths.tasks)
    lengths = replace(lengths, tasks=facts)
    six = [(6.0,) * 4] * 2 + [None, None]
    found = [answers, lengths, row("experts", "default", [RIGHT] * 4, answers), row("experts", "default", six, lengths)]
    return [*found, row(entry, "tuned", values, answers, **more), row(entry, "tuned", six, lengths, **more)]


def test_what_the_first_places_write_stands_beside_their_scores():
    made = records(OWN)
    known = board(made, "vision-8", "small")
    assert [line.name[0] for line in ranked(known)][:1] == ["wudi"]
    found = writing(joined(plain(made), written("wudi", [HALF] * 4, grid=1)), known)
    answers, tokens = found.of(known.line("wudi", "tuned"))
    assert (answers.value, tokens) == (0.5, 6.0)
    assert found.of(known.line("ties", "tuned"), known.line("ties", "default")) is None
    assert {line["entry"] for line in found.plain()} == {"experts", "wudi"}
    assert writing(made, known) is None


def test_what_was_written_with_other_parameters_does_not_count():
    made = records(OWN)
    known = board(made, "vision-8", "small")
    found = writing(joined(plain(made), written("wudi", [HALF] * 4, grid=1, parameters={"lambda": 0.3})), known)
    assert found.of(known.line("wudi", "tuned")) is None


def test_the_page_shows_both_orders_what_is_written_and_predicted_memory(tmp_path):
    pytest.importorskip("matplotlib")
    made = records(OWN, seeds=2)
    append(tmp_path / "records" / "vision-8.jsonl", plain(made))
    append(tmp_path / "records" / "beside" / "a.jsonl", filed("informed", "adamerging.task.test", (0, 1)))
    append(tmp_path / "records" / "beside" / "b.jsonl", written("wudi", [HALF] * 4, grid=1))
    files = {path.name: path for path in write_pages(tmp_path / "records", tmp_path / "docs")}
    text = files["vision-8.md"].read_text("utf-8")
    assert "n = 6, seeds 0, 1." in text
    assert "- ours: WUDI > AdaMerging, task-wise > " in text or "- ours: AdaMerging, task-wise > WUDI > " in text
    assert "There the coefficient of TIES (0.3) and Task Arithmetic (0.3) is 0.3" in text
    assert "learnt from unlabelled test images, from 0.3 on" in text
    assert "| written | tokens |" in text
    assert "| 50.0 (0.0–100.0) | 6.0 |" in text
    assert "| memory, predicted, MB |" in text
    data = json.loads(files["vision-8.json"].read_text("utf-8"))
    assert data["written"]["seeds"] == [0]
    assert board_json(board(made, "vision-8", "small"))["written"] is None


def test_the_table_fits_a_hundred_columns():
    from rich.console import Console

    from solera.bench.table import shown

    names = {"continual_task_arithmetic" if name == "iso_c" else name: each for name, each in OWN.items()}
    made = records(names, seeds=2)
    rows = {key: replace(r, seconds=28.2, bytes_read=154_800_000, memory=77_300_000) for key, r in made.rows.items()}
    console = Console(width=100, record=True, file=StringIO())
    shown(board(Records(made.beds, rows), "vision-8", "small"), console)
    text = console.export_text()
    assert all(f" {name} " in text for name in ("sec", "read", "mem"))
    assert ["154.8", "77.3"] in [line.split()[-2:] for line in text.splitlines()]
    assert "…" not in text.split("% of the experts")[0].replace("continual_task_arithmet…", "")
