"""Learnt coefficients beside those of official code: AdaMerging's own scripts, step by step, on a tiny model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

import coefficients_inputs as inputs

from solera.learn.coefficients import Job, TaskData, learn, learner
from solera.learn.statistics import Batch
from solera.recipe.values import Merge, Operand, Recipe
from solera.types import ModelRef

pytestmark = pytest.mark.parity
STORED = Path(__file__).parent / "goldens" / "learnt" / "adamerging.safetensors"


class Classifier(nn.Module):
    """A body and a head, named as models of transformers are."""

    base_model_prefix = "body"

    def __init__(self) -> None:
        super().__init__()
        self.body = inputs.Body()
        self.head = nn.Linear(inputs.FEATURES, inputs.CLASSES, bias=False)

    def forward(self, images):
        return self.head(self.body(images))


def load(ref):
    found = Classifier()
    found.load_state_dict(load_file(f"{ref.path}/model.safetensors"))
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    weights = {"base": (inputs.base(), inputs.head(0))}
    weights |= {task: (inputs.expert(k), inputs.head(k)) for k, task in enumerate(inputs.TASKS)}
    for name, (body, head) in weights.items():
        (root / name).mkdir()
        tensors = {f"body.{key}": value for key, value in body.items()}
        save_file({**tensors, "head.weight": head}, root / name / "model.safetensors")
    return root


@pytest.mark.parametrize("steps", [1, 5, inputs.STEPS])
@pytest.mark.parametrize("name", ["adamerging", "adamerging_plus_plus"])
@pytest.mark.parametrize(("granularity", "official"), [("task", "task"), ("tensor", "layer")])
def test_coefficients_are_those_of_the_official_scripts(models, tmp_path, granularity, official, name, steps):
    operands = tuple(Operand(ModelRef(str(models / task))) for task in inputs.TASKS)
    recipe = Recipe(Merge("task_arithmetic", operands, base=ModelRef(str(models / "base"))))
    data = [TaskData(task, (Batch({"images": inputs.images(k)}),), k) for k, task in enumerate(inputs.TASKS)]
    card = learner(name)
    said = card.defaults.but(granularity=granularity, steps=steps, heads="own")
    found = learn(Job(recipe, card, data, said, tmp_path / "out", load=load)).learnt.coefficients
    want = load_file(STORED)[f"{official}{name.removeprefix('adamerging')}/{steps}"]
    names = ["all tensors"] if granularity == "task" else [f"body.{key}" for key in inputs.SIZES]
    torch.testing.assert_close(torch.tensor([found[key] for key in names]), want, rtol=0, atol=1e-5)
