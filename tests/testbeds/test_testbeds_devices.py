"""Trainings of size full go to a GPU where there is one; those of other sizes never do."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from solera.testbeds import devices
from solera.testbeds.language.sizes import SIZES
from solera.testbeds.language.text_sizes import SIZES as TEXT
from solera.testbeds.language.training import Training
from solera.testbeds.seeds import making as seeds
from solera.testbeds.seeds.networks import Mlp
from solera.testbeds.vision import images, making, training, views


class Watched(Mlp):
    """A network that notes where it is sent, and can come back from a device without memory."""

    def __init__(self) -> None:
        super().__init__(8, 4)
        self.sent: list[str] = []

    def to(self, where: str) -> Watched:
        self.sent.append(where)
        return self.to_empty(device="cpu") if where == "cpu" else super().to(where)


def _fit(model: torch.nn.Module, *, gpu: bool) -> dict[str, torch.Tensor]:
    source = images.digits().at(np.arange(20))
    view = views.View("digits", 0, 10, lambda x: x, lambda y: y)
    training.fit(model, [view, view], source, training.Schedule(2, 1e-2, rows=8, gpu=gpu), 0, lambda *_: None)
    return model.state_dict()


def _mlp() -> Mlp:
    torch.manual_seed(0)
    return Mlp(8, 4)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("gpu", [True, False])
def test_a_gpu_is_taken_where_it_is_wanted_and_there(monkeypatch, there, gpu) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert devices.device(gpu=gpu) == ("cuda" if there and gpu else "cpu")


def test_inputs_and_answers_go_where_the_network_is(monkeypatch) -> None:
    """On a device that computes nothing, and refuses operands of two devices."""
    monkeypatch.setattr(training, "device", lambda *, gpu: "meta" if gpu else "cpu")
    model = Watched()
    _fit(model, gpu=True)
    assert model.sent == ["meta", "cpu"]
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert not model.training


@pytest.mark.skipif(torch.cuda.is_available(), reason="without a GPU, the wish for one changes nothing")
def test_without_a_gpu_the_wish_changes_no_bit() -> None:
    one, two = _fit(_mlp(), gpu=True), _fit(_mlp(), gpu=False)
    assert all(value.equal(two[name]) for name, value in one.items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.gpu
def test_on_a_gpu_about_the_same_is_learned() -> None:
    torch.testing.assert_close(_fit(_mlp(), gpu=True), _fit(_mlp(), gpu=False), rtol=1e-3, atol=1e-4)


def _schedules(plan: object) -> list[training.Schedule | Training]:
    """All schedules in the settings of a size, however deep."""
    if isinstance(plan, training.Schedule | Training):
        return [plan]
    inside = plan.values() if isinstance(plan, dict) else [getattr(plan, f.name) for f in _fields(plan)]
    return [found for part in inside for found in _schedules(part)]


def _fields(plan: object) -> tuple:
    return fields(plan) if hasattr(plan, "__dataclass_fields__") else ()


@pytest.mark.parametrize("size", ["tiny", "small", "full"])
def test_all_of_full_and_nothing_else_wants_a_gpu(size) -> None:
    plans = [making.PLANS[size], seeds.PLANS[size], SIZES[size](), TEXT[size]]
    found = [{schedule.gpu for schedule in _schedules(plan)} for plan in plans]
    assert found == [{size == "full"}] * 4
