"""The demo, shortened to a few steps: its data are split as promised, and every stage runs."""

from __future__ import annotations

import importlib
import io
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("transformers")

ROOT = Path(__file__).parents[2]
MODULES = ("tasks", "train", "judge", "experts", "demo")


@pytest.fixture
def stage(monkeypatch):
    """Import a file of examples/demo by name; none of them stays behind."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "demo"))
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)


def test_no_held_out_image_is_trained_on(stage) -> None:
    tasks = stage("tasks")
    trained, _ = tasks.images(held_out=False)
    judged, _ = tasks.images(held_out=True)
    assert len(judged) == tasks.HELD_OUT
    assert len(trained) + len(judged) == 1797
    seen = {image.numpy().tobytes() for image in trained}
    assert not any(image.numpy().tobytes() in seen for image in judged)


def test_every_task_has_its_own_logits(stage) -> None:
    tasks = stage("tasks")
    taken = [i for task in tasks.TASKS for i in range(task.logits.start, task.logits.stop)]
    assert taken == list(range(tasks.LOGITS))


def test_views_and_labels(stage) -> None:
    import torch

    tasks = {task.name: task for task in stage("tasks").TASKS}
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 0, 7] = 1.0  # top right
    assert tasks["rotated"].view(image)[0, 0, 0, 0] == 1.0  # a quarter turn to the left: top left
    assert tasks["inverted"].view(image).sum() == 63
    assert tasks["parity"].label(torch.tensor([0, 7, 8])).tolist() == [0, 1, 0]


@pytest.mark.end_to_end
def test_the_whole_demo_in_a_few_steps(stage, tmp_path, monkeypatch) -> None:
    import torch
    from rich.console import Console
    from safetensors.torch import load_file
    from transformers.utils import logging

    logging.disable_progress_bar()
    train, demo, judge = stage("train"), stage("demo"), stage("judge")
    monkeypatch.setattr(train, "BASE", train.Schedule(3, 1e-3, cools=False))
    monkeypatch.setattr(train, "EXPERT", train.Schedule(3, 5e-4, cools=True))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    models = Path("demo-out/models")
    with torch.random.fork_rng():
        for name in ("base", "digits", "rotated", "inverted", "parity"):
            train.train(models, name)
    base, expert = (load_file(models / name / "model.safetensors") for name in ("base", "digits"))
    assert all(torch.equal(base[n], expert[n]) for n in base if n.startswith("classifier"))
    assert any(not torch.equal(base[n], expert[n]) for n in base)
    console = Console(file=io.StringIO(), width=100)
    merged = demo.merge_all(console)
    assert set(merged) == {path.stem for path in (ROOT / "recipes" / "demo").glob("*.yaml")}
    scores = {name: judge.score(Path("demo-out/merged") / name) for name in ("linear", "ties")}
    assert all(0 <= value <= 100 for row in scores.values() for value in row.values())
    console.print(demo.score_table(dict.fromkeys(("base", "parity"), scores["linear"]), scores))
    demo.picture(Path("demo-out/merged/linear"), console)
    assert "merged: ties" in console.file.getvalue()
    linear = load_file("demo-out/merged/linear/model.safetensors")
    four = [load_file(models / name / "model.safetensors") for name in ("digits", "rotated", "inverted", "parity")]
    for name, value in linear.items():
        torch.testing.assert_close(value, sum(f[name].double() for f in four).div(4).float(), rtol=1e-6, atol=1e-7)
