"""Figures and tables: every kind is drawn, names no number twice, and needs its extra."""

from __future__ import annotations

import re
import sys

import pytest
from rich.console import Console

from solera.diagnose import along_path, diagnose, draw, on_plane, sweep
from solera.diagnose.tables import tables
from solera.errors import MissingExtra
from tests.diagnose.cases import load, saved, task

KINDS = ("norms", "cosine", "conflict", "overlap", "kinship", "spectra", "subspace", "path", "plane", "sweep", "stages")


@pytest.fixture
def found(zoo, tmp_path):
    made = zoo(experts=3)
    points = saved(tmp_path, base=(0.0, 0.0), a=(1.0, 0.0), b=(-1.0, 0.5), c=(0.0, 1.0))
    ridge = task("ridge", lambda p: {"accuracy": [abs(float(p[0]))] * 2, "loss": [1.0, 2.0]}, expert="a")
    talk = task("talk", lambda p: {"accuracy": [0.5, 0.5], "length": [float(p[0]) * 10] * 2})
    ends = (points["a"], points["b"])
    return {
        "weights": diagnose([made[f"e{i}"] for i in range(3)], made["base"]),
        "path": along_path(load, ends, [ridge, talk], steps=5),
        "plane": on_plane(load, (*ends, points["c"]), [ridge, talk], steps=3),
        "sweep": sweep(load, points["base"], {"a": points["a"], "b": points["b"]}, [ridge, talk]),
    }


def test_every_kind_is_drawn_and_says_what_it_shows(found, tmp_path) -> None:
    files = draw(found, tmp_path / "figures")
    assert {f.name for f in files} == {f"{kind}.{ending}" for kind in KINDS for ending in ("png", "svg")}
    for file in files:
        if file.suffix == ".svg":
            said = re.findall(r"<text[^>]*>([^<]+)</text>", file.read_text(encoding="utf-8"))
            assert len(said) > 8, file
        else:
            assert file.read_bytes()[:4] == b"\x89PNG"
            assert 5_000 < file.stat().st_size < 150_000


def test_a_path_names_its_straight_line_and_the_unit_of_each_barrier(tmp_path) -> None:
    points = saved(tmp_path, a=(1.0, 0.0), b=(-1.0, 0.5))
    ridge = task("ridge", lambda p: {"accuracy": [abs(float(p[0]))] * 2, "loss": [1.0, 2.0]})
    found = along_path(load, (points["a"], points["b"]), [ridge], steps=5)
    draw({"path": found}, tmp_path / "figures", formats=("svg",))
    text = (tmp_path / "figures" / "path.svg").read_text(encoding="utf-8")
    assert "straight line" in text
    assert "barrier of the mean: 0 nats" in text


def test_figures_are_equal_when_findings_are(found, tmp_path) -> None:
    some = {"sweep": found["sweep"]}
    first, second = (draw(some, tmp_path / name) for name in ("one", "two"))
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]


def test_findings_of_one_model_are_drawn(zoo, tmp_path) -> None:
    made = zoo(experts=1)
    files = draw({"weights": diagnose([made["e0"]], made["base"])}, tmp_path, formats=("png",))
    assert [f.stem for f in files] == ["norms", "spectra", "subspace"]


def test_many_models_and_layers_still_fit(zoo, tmp_path) -> None:
    made = zoo(experts=14, layers=16, hidden=8)
    models = [made[f"e{i}"] for i in range(14)]
    found = {"weights": diagnose(models, made["base"], only=("conflict",))}
    assert len(draw(found, tmp_path / "figures", formats=("png",))) == 3


def test_tables_say_all_sections(found) -> None:
    console = Console(width=200, record=True, quiet=True)
    console.quiet = False
    with console.capture() as said:
        for table in tables(found):
            console.print(table)
    for word in ("e0", "By layer", "By role", "Kinship", "Barrier", "best of the grid", "average", "Stages"):
        assert word in said.get()
    assert "nan" not in said.get().lower()


def test_without_matplotlib_the_extra_is_named(found, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"solera\[plots\]"):
        draw({"sweep": found["sweep"]}, tmp_path / "none")
    assert not (tmp_path / "none").exists()
