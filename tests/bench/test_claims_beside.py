"""Claims that are judged on records which a script filed beside the leaderboards."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.bench.rows import HALF, RIGHT, WRONG, bed, row

from solera.bench.claims import Claim, parse
from solera.bench.pages import write_pages
from solera.bench.records import append


def test_records_beside_the_leaderboards_are_judged_and_have_no_page(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    found = []
    for seed in range(3):
        of = replace(bed(seed), variant="learnt")
        scores = {"experts": RIGHT, "base": WRONG, "linear": HALF, "learner.one": RIGHT}
        found += [of, *(row(entry, "default", [each] * 4, of) for entry, each in scores.items())]
    append(tmp_path / "records" / "beside" / "learnt.jsonl", found)
    test = (parse("learner.one:default > linear:default"),)
    claim = Claim("A learner", "It beats the average.", testbed="vision-8", variant="learnt", test=test)
    monkeypatch.setattr("solera.bench.pages.claims", lambda: (claim,))
    files = {path.name: path.read_text("utf-8") for path in write_pages(tmp_path / "records", tmp_path / "docs")}
    assert set(files) == {"leaderboard.md", "claims.md"}
    assert "vision-8, learnt, 3 seeds" in files["claims.md"]
    assert "**holds**" in files["claims.md"]
