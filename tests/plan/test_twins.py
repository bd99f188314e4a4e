"""Models whose files are laid out alike share their plan; it says the same as one made model by model."""

import gc
from collections import Counter

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import solera
from solera.plan import models as plan_models
from solera.plan.expressions import calls_of, kinds_of, names_of, reads_of
from solera.plan.tasks import LeafTask, Twins
from solera.recipe import parse

TEXT = """
solera: 1
base: {base}
models:
  - {{model: {e0}, weight: 0.5}}
  - {{model: {e1}, weight: 0.25}}
  - {{model: {e0}, weight: 0.125}}
method: ties
parameters: {{density: 0.5}}
output: {{dtype: float32}}
"""


@pytest.fixture
def models(zoo):
    return zoo(experts=2, tied=True)


def tasks(plan):
    return [part.expr for tensor in plan.outputs for part in tensor.parts if isinstance(part.expr, LeafTask)]


def separately(monkeypatch):
    monkeypatch.setattr(plan_models.Rows, "is_twin_of", lambda *_: False)


def test_equal_layouts_are_planned_once(models):
    made = tasks(solera.plan(parse(TEXT.format(**models))))
    assert made
    assert all(isinstance(task.operands, Twins) for task in made)
    assert made[0].operands.kin is made[-1].operands.kin


def test_twins_say_what_separate_reads_say(models, monkeypatch):
    shared = solera.plan(parse(TEXT.format(**models)))
    separately(monkeypatch)
    single = solera.plan(parse(TEXT.format(**models)))
    assert not any(isinstance(task.operands, Twins) for task in tasks(single))
    assert (shared.digest, shared.cost, shared.provenance) == (single.digest, single.cost, single.provenance)
    for one, other in zip(tasks(shared), tasks(single), strict=True):
        assert one.models == other.models
        assert [said(r) for r in reads_of(one)] == [said(r) for r in reads_of(other)]
        assert sum(n for _, n in kinds_of(one)) == len(list(reads_of(other)))
        assert {(m, n) for labels, n in names_of(one) for m in labels} == {(r.model, r.name) for r in reads_of(other)}


def test_operands_are_read_from_their_own_models(models):
    made = tasks(solera.plan(parse(TEXT.format(**models))))
    assert {tuple(read.model for read in task.operands) for task in made} == {
        (str(models["e0"]), str(models["e1"]), str(models["e0"]))
    }
    assert all(read.source.path.startswith(read.model) for task in made for read in task.operands)


def test_calls_are_counted_once_each(models):
    ruled = TEXT + "rules: [{{match: {{role: mlp}}, parameters: {{density: 0.25}}}}]\n"
    for text, distinct in ((TEXT, 1), (ruled, 2)):
        made = solera.plan(parse(text.format(**models)))
        assert calls_of(made.outputs) == Counter(task.call for task in tasks(made))
        assert len(calls_of(made.outputs)) == distinct


def test_planning_leaves_the_collector_as_it_was(models):
    gc.freeze()
    frozen = gc.get_freeze_count()
    try:
        solera.plan(parse(TEXT.format(**models)))
        assert gc.isenabled()
        assert gc.get_freeze_count() >= frozen - 1000  # what is frozen may still be freed
    finally:
        gc.unfreeze()


def said(read):
    return read.source, read.shape, read.model, read.name, read.offset, read.cast


def test_both_write_the_same_bytes(models, tmp_path, monkeypatch):
    shared = solera.merge(parse(TEXT.format(**models)), tmp_path / "shared").digest
    separately(monkeypatch)
    assert solera.merge(parse(TEXT.format(**models)), tmp_path / "single").digest == shared


@pytest.mark.parametrize("change", ["type", "extra"])
def test_another_header_makes_no_twin(models, change):
    path = models["e1"] / "model.safetensors"
    found = load_file(path)
    name = min(found)
    found |= {name: found[name].astype(np.float16)} if change == "type" else {"extra.weight": np.zeros(2, np.float32)}
    save_file(found, path)
    assert not any(isinstance(t.operands, Twins) for t in tasks(solera.plan(parse(TEXT.format(**models)))))
