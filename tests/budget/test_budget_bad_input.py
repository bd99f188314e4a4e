"""What cannot be given a budget is refused in the house form: what, where, got, want, fix."""

from __future__ import annotations

import os

import pytest
import torch

from solera import app
from solera.app.analyzing import analyze
from solera.checkpoints.sketch_files import cache_folder
from solera.errors import BadParameter, NotFound, PlanError, RecipeFaults, SourceChanged
from solera.plan import plan as plan_of
from solera.plan.budget_sketches import NoSketch
from solera.recipe import parse, to_yaml
from solera.recipe.budgets import budget_of

from .conftest import asked, base_tensors, changed, save


@pytest.mark.parametrize("text", ["-1", "-10%", "ten", "", "10 %%", "NaN", "5XB", "true"])
def test_a_malformed_budget(text):
    with pytest.raises(RecipeFaults, match="budget") as caught:
        parse(f'{{base: b, method: ties, models: [a, c], budget: "{text}"}}')
    assert caught.value.exit_code == 2
    with pytest.raises(BadParameter, match="budget is not readable"):
        budget_of(text)


def test_an_unknown_key_and_a_floor_that_is_no_share():
    with pytest.raises(RecipeFaults, match="did you mean `amount`"):
        parse("{base: b, method: ties, models: [a, c], budget: {amout: 5%}}")
    with pytest.raises(RecipeFaults, match="floor"):
        parse("{base: b, method: ties, models: [a, c], budget: {amount: 5%, floor: 3GB}}")
    with pytest.raises(RecipeFaults, match="layers"):
        parse("{base: b, method: ties, models: [a, c], budget: {amount: 5%, floors: {x: 3%}}}")


@pytest.mark.parametrize("text", ["10%", "20GiB", "0", "inf", "{amount: 2.5%, floor: 1%, floors: {0-3: 20%}}"])
def test_a_budget_survives_being_written(text):
    recipe = parse(f"{{base: b, method: ties, models: [a, c], budget: {text}}}")
    assert recipe.budget is not None
    assert parse(to_yaml(recipe)).budget == recipe.budget


def test_no_sketch(family):
    zoo = family(sketch=False)
    with pytest.raises(NoSketch, match="needs a sketch") as caught:
        plan_of(asked("ties", zoo, "10%"))
    assert caught.value.fault.fix == f"solera analyze {zoo['e0']} --base {zoo['base']}"
    assert caught.value.exit_code == 4


def test_a_stale_sketch(family):
    zoo = family()
    save(zoo["e1"], changed(base_tensors(), 77))
    with pytest.raises(NoSketch, match="stale") as caught:
        plan_of(asked("ties", zoo, "10%"))
    assert str(zoo["e1"]) in caught.value.fault.got
    analyze([zoo["e1"]], zoo["base"])
    assert plan_of(asked("ties", zoo, "10%")).budget is not None


def test_a_stale_sketch_in_the_catalog(family, tmp_path, monkeypatch):
    monkeypatch.setenv("SOLERA_CATALOG", str(tmp_path / "catalog.sqlite"))
    zoo = family(experts=1)
    assert plan_of(asked("ties", zoo, "10%")).budget.sketches[str(zoo["e0"])].endswith("catalog.sqlite")
    save(zoo["e0"], changed(base_tensors(), 77))
    with pytest.raises(NoSketch, match="stale"):
        plan_of(asked("ties", zoo, "10%"))


def test_bytes_that_changed_behind_the_sketchs_back(family, tmp_path):
    zoo = family(experts=1)
    file = zoo["e0"] / "model.safetensors"
    before = file.stat()
    with file.open("r+b") as opened:  # every block of the embedding, and nobody says so
        opened.seek(before.st_size - 200_000 * 4)
        opened.write(os.urandom(16) * 1)
        for start in range(1000, 200_000 * 8, 30_000):
            opened.seek(before.st_size - start)
            opened.write(b"\x01\x02\x03\x04")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SourceChanged, match="stale"):
        app.merge(asked("ties", zoo, "60%"), tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_sketch_of_another_base(family):
    zoo = family()
    other = save(zoo["base"].parent / "other", base_tensors(seed=5))
    with pytest.raises(NoSketch, match="another base") as caught:
        plan_of(asked("ties", {**zoo, "base": other}, "10%"))
    assert str(zoo["base"]) in caught.value.fault.got
    save(zoo["base"], base_tensors(seed=6))
    with pytest.raises(NoSketch, match="another base") as caught:
        plan_of(asked("ties", zoo, "10%"))
    assert "has changed since" in caught.value.fault.got


def test_sketches_that_were_named_but_are_not_there(zoo):
    with pytest.raises(NotFound, match="no such sketch"):
        plan_of(asked("ties", zoo, "10%", sketches="nowhere.sketch"))


def test_sketches_in_a_folder_of_their_own(family, tmp_path):
    zoo = family(experts=1, sketch=False)
    analyze([zoo["e0"]], zoo["base"], out=tmp_path / "sketches")
    with pytest.raises(NoSketch):
        plan_of(asked("ties", zoo, "10%"))
    found = plan_of(asked("ties", zoo, "10%", sketches=str(tmp_path / "sketches"))).budget.sketches
    assert next(iter(found.values())).startswith(str(tmp_path / "sketches"))
    assert not cache_folder().exists()


@pytest.mark.parametrize(
    ("method", "options", "why"),
    [
        ("model_stock", {}, "needs a summary of all inputs"),
        ("sce", {"select_topk": 0.3}, "needs a summary of all inputs"),
        ("ties", {"variant": "official"}, "needs a summary of all inputs"),
        ("ties", {"rescale": True}, "needs a summary of all inputs"),
        ("dare_ties", {"density": 0.5}, "needs a summary of all inputs"),
    ],
)
def test_methods_that_no_sketch_can_stand_for(zoo, method, options, why):
    with pytest.raises(PlanError, match=why) as caught:
        plan_of(asked(method, zoo, "10%", **options))
    assert caught.value.fault.fix
    assert plan_of(asked(method, zoo, "inf", **options)).budget.is_plain


def test_weights_that_do_not_make_the_base_of_equal_models(zoo):
    with pytest.raises(PlanError, match="something else than the base"):
        plan_of(asked("linear", zoo, "10%", base=False, normalize=False))


def test_a_floor_above_the_budget(zoo):
    with pytest.raises(PlanError, match="below what this merge must read") as caught:
        plan_of(asked("ties", zoo, "1%", floor="50%"))
    assert "by the floors" in caught.value.fault.want


def test_a_backend_elsewhere(zoo):
    from solera.execute import budget
    from solera.execute.engine import Engine

    planned = plan_of(asked("ties", zoo, "10%"))
    with pytest.raises(PlanError, match="counts what is read"):
        budget.under_budget(Engine(None, keep_nonfinite=False, block=65_536, hold_bytes=0), planned.budget, object())


def test_float16_and_a_budget_of_one_byte(family, tmp_path):
    zoo = family(dtype=torch.float16)
    made = app.merge(asked("task_arithmetic", zoo, 1), tmp_path / "o")
    assert (made.budget["limit"], made.budget["read"]) == (1, 0)
