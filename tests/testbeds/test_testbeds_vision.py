"""vision-8: ordinary folders, honest splits, tasks that score what they say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import solera
from solera import testbeds
from solera.errors import CheckpointError, MissingTensor, NotFound, RunError, ShapeMismatch, UnknownName
from solera.testbeds import gate, using
from solera.testbeds.manifest import files_below
from solera.testbeds.vision import figures, images, training, views
from solera.testbeds.vision.making import PLANS, TASKS
from solera.types import LoraRef
from tests.conftest import recipe, ref


def test_it_holds_a_base_eight_experts_and_their_adapters(vision) -> None:
    assert list(vision.experts) == list(vision.adapters) == list(TASKS)
    assert len(TASKS) == 8
    assert set(vision.facts["base"]) == {view.name for view in views.VIEWS}
    assert "gate" not in vision.facts


def test_folders_are_read_by_transformers(vision) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForImageClassification.from_pretrained(vision.experts["rotated"])
    processor = transformers.AutoImageProcessor.from_pretrained(vision.base)
    source = images.read(vision.folder, "test")
    ours = views.as_input(views.as_tensor(source.pixels[:3]))
    theirs = processor(list(source.pixels[:3, None]), return_tensors="pt", input_data_format="channels_first")
    torch.testing.assert_close(theirs["pixel_values"], ours)
    assert model(pixel_values=ours).logits.shape == (3, views.LOGITS)
    assert model.config.id2label[10] == "rotated:0"


def test_all_experts_share_the_classifier_of_the_base_and_nothing_else(vision) -> None:
    base = load_file(vision.base / "model.safetensors")
    for folder in vision.experts.values():
        expert = load_file(folder / "model.safetensors")
        same = {name for name in base if expert[name].equal(base[name])}
        assert same == {"classifier.weight", "classifier.bias"}


def test_solera_applies_an_adapter_as_peft_does(vision, tmp_path) -> None:
    solera.merge(
        recipe("linear", [replace(ref(vision.base), loras=(LoraRef(str(vision.adapters["parity"])),))]), tmp_path
    )
    ours, theirs = testbeds.load(vision, tmp_path), testbeds.load(vision, vision.adapters["parity"])
    base = testbeds.load(vision, vision.base).state_dict()
    assert sum(not value.equal(base[name]) for name, value in theirs.state_dict().items()) == 2 * 6
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_the_parts_of_the_source_share_no_image(vision) -> None:
    parts = {part: images.read(vision.folder, part).digests() for part in images.PARTS}
    everything = [digest for digests in parts.values() for digest in digests]
    assert len(everything) == len(set(everything))
    assert [len(parts[part]) for part in ("test", "validation", "train")] == [60, 30, 200]


def test_training_sees_no_held_out_image(vision, tmp_path) -> None:
    """Other pictures in test and validation give the same weights, to the bit."""
    trained = []
    for fill in (0, 255):
        folder = tmp_path / str(fill)
        shutil.copytree(vision.folder / "data", folder / "data")
        path = folder / "data" / "images.safetensors"
        tensors = load_file(path)
        held_out = [name for name in tensors if name.endswith("pixels") and not name.startswith("train")]
        save_file({**tensors, **{name: torch.full_like(tensors[name], fill) for name in held_out}}, path)
        trained.append(_trained(folder))
    assert trained[0] == trained[1]


def test_equal_seeds_give_equal_bytes_and_others_do_not(vision, tmp_path) -> None:
    shutil.copytree(vision.folder / "data", tmp_path / "data")
    one, two, other = (_trained(tmp_path, name, seed) for name, seed in (("one", 0), ("two", 0), ("other", 1)))
    assert one == two
    assert one != other


def _trained(folder: Path, name: str = "out", seed: int = 0) -> dict[str, str]:
    """Digests of a base, an expert and an adapter, trained for one step each."""
    plan, out = PLANS["tiny"], folder / name
    shutil.copytree(folder / "data", out / "data")
    schedule = training.plain(training.Schedule(1, 1e-2, rows=20))
    shape = {"hidden": 8, "layers": 1, "heads": 1, "inner": 8}
    options = {"folder": out, "schedule": schedule, "seed": seed}
    quiet = lambda _done, _total: None  # noqa: E731
    training.train_base(out / "base", quiet, shape=shape, count=50, **options)
    training.train_expert(out / "expert", quiet, task="large", **options)
    training.train_adapter(out / "adapter", quiet, task="large", rank=plan.rank, **options)
    shutil.rmtree(out / "data")
    return files_below(out)


def test_tasks_are_the_same_each_time_and_of_three_groups(vision) -> None:
    tasks = testbeds.tasks(vision)
    assert [t.data for t in tasks] == [t.data for t in testbeds.tasks(vision)]
    assert [sum(t.group == g for t in tasks) for g in ("held-in", "unseen", "corrupted")] == [8, 2, 16]
    assert {t.items for t in tasks} == {60}
    assert len({t.data for t in tasks}) == len({t.name for t in tasks}) == 26
    assert {t.expert for t in tasks if t.group == "unseen"} == {None}
    assert not {t.data for t in tasks} & {t.data for t in testbeds.tasks(vision, "validation")}
    with pytest.raises(UnknownName, match="did you mean `rotated`"):
        using.task(vision, "rotatd")


def test_a_model_that_answers_right_scores_one(vision) -> None:
    task = using.task(vision, "rotated")
    right = views.VIEWS[1].label(torch.as_tensor(images.read(vision.folder, "test").classes))

    class Oracle(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pixel_values):
            logits = torch.zeros(len(pixel_values), views.LOGITS)
            logits[torch.arange(len(right)), views.VIEWS[1].first + right] = 50.0
            logits[:, 0] = 99.0  # another task's logit says nothing here
            return type("Out", (), {"logits": logits})

    measured = task.measure(Oracle())
    assert measured["accuracy"] == [1.0] * 60
    assert max(measured["loss"]) < 1e-6


def test_scores_are_those_of_the_facts(vision) -> None:
    model = testbeds.load(vision, vision.experts["prime"])
    right = using.task(vision, "prime").measure(model)["accuracy"]
    assert 100 * sum(right) / len(right) == pytest.approx(vision.facts["experts"]["prime"])
    assert not model.training


def test_slices_of_the_classifier_meet_and_do_not_overlap() -> None:
    taken = [i for view in views.VIEWS for i in range(view.first, view.first + view.answers)]
    assert taken == list(range(views.LOGITS))


@pytest.mark.parametrize("view", views.VIEWS, ids=lambda view: view.name)
def test_views_keep_shape_and_range_and_labels_fit(view) -> None:
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert view.show(x).shape == x.shape
    assert view.show(x).min() >= 0
    assert view.show(x).max() <= 1
    assert set(view.label(torch.arange(10)).tolist()) == set(range(view.answers))


@pytest.mark.parametrize("name", views.CORRUPTIONS)
def test_corruptions_change_images_and_keep_them_in_range(name) -> None:
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    spoilt = views.CORRUPTIONS[name](x)
    assert spoilt.shape == x.shape
    assert not spoilt.equal(x)
    assert spoilt.min() >= 0
    assert spoilt.max() <= 1


def test_shifts_move_each_image_as_a_whole() -> None:
    x = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    moved = views.shifted(x, 1, torch.Generator().manual_seed(1))
    rolls = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    found = [next(r for r in rolls if moved[i].equal(x[i].roll(r, (1, 2)))) for i in range(20)]
    assert len(set(found)) > 3


def test_models_of_other_shapes_are_refused(vision, tmp_path) -> None:
    with pytest.raises(NotFound):
        testbeds.load(vision, tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="transformers cannot read"):
        testbeds.load(vision, tmp_path / "empty")
    folder = shutil.copytree(vision.base, tmp_path / "part")
    tensors = load_file(folder / "model.safetensors")
    name = next(n for n in tensors if n.endswith(("fc1.weight", "intermediate.dense.weight")))
    save_file({k: v for k, v in tensors.items() if k != name}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingTensor, match="missing"):
        testbeds.load(vision, folder)
    save_file({**tensors, name: tensors[name][:-1].clone()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError):
        testbeds.load(vision, folder)
    config = json.loads((folder / "config.json").read_text())
    labels = {str(i): str(i) for i in range(3)}
    config |= {"id2label": labels, "label2id": {v: int(k) for k, v in labels.items()}}
    (folder / "config.json").write_text(json.dumps(config))
    small = {k: v[:3].clone() if k.startswith("classifier") else v for k, v in tensors.items()}
    save_file(small, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ShapeMismatch, match="none of vision-8"):
        testbeds.load(vision, folder)


def test_figures_of_the_task_vectors(vision) -> None:
    found = vision.facts["geometry"]
    assert np.allclose(np.diag(found["cosines"]), 1)
    assert 0 < found["sign_conflict"] < 1
    assert all(0 < rank <= found["full_rank"] for rank in found["effective_ranks"].values())
    rows = figures.sweep(vision.folder, TASKS, (0.0, 1 / 8))
    assert [row["coefficient"] for row in rows] == [0.0, 0.125]
    flat = torch.outer(torch.arange(1.0, 5), torch.ones(4))
    assert figures.effective_rank(flat) == pytest.approx(1)


def test_the_gate_names_what_it_misses() -> None:
    scores = dict.fromkeys(TASKS, 90.0)
    rows = [{"tasks": dict.fromkeys(TASKS, value)} for value in (1, 2, 0)]
    facts = {
        "base": dict.fromkeys(TASKS, 70.0),
        "experts": scores,
        "ceilings": dict.fromkeys(TASKS, 92.0),
        "average": dict.fromkeys(TASKS, 80.0),
        "sweep": rows,
    }
    gate.require("vision-8", figures.gate(facts))
    with pytest.raises(RunError, match=r"average above base 4 \(>= 5 points\)"):
        gate.require("vision-8", figures.gate({**facts, "average": dict.fromkeys(TASKS, 74.0)}))
    with pytest.raises(RunError, match="large"):
        gate.require("vision-8", figures.gate({**facts, "experts": {**scores, "large": 74.0}}))
    with pytest.raises(RunError, match="interior"):
        gate.require("vision-8", figures.gate({**facts, "sweep": rows[:2]}))
    assert not gate.Bar(float("nan"), ">=", 0).ok


def test_equal_pictures_are_never_parted() -> None:
    source = images.digits().at(np.array([0, 1, 2, 3] * 5))
    parts = images.split(source, 0, 2)
    assert sum(map(len, parts.values())) == 4
    assert images.enlarged(source, 28).pixels.shape == (20, 28, 28)
