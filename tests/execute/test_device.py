"""The backend `cuda`: steps compute elsewhere; the bytes are those of this machine, and no operand is left behind."""

import pytest

import solera
from solera.errors import RunError
from solera.execute import backends
from solera.registry import cards
from tests.conftest import recipe
from tests.execute.cases import METHODS
from tests.execute.pretended import DEVICE, pretended_device


@pytest.fixture
def elsewhere(monkeypatch):
    """A card that is not there; one thread, since the pretence holds for the thread that it began in."""
    monkeypatch.setattr(backends, "_card", lambda: str(DEVICE))
    monkeypatch.setattr(backends, "FEEDERS", 1)
    with pretended_device():
        yield


@pytest.mark.parametrize(("method", "variant", "based", "parameters"), METHODS)
def test_the_bytes_are_those_of_this_machine(zoo, tmp_path, elsewhere, method, variant, based, parameters):
    z = zoo()
    made = recipe(method, [z["e0"], z["e1"], z["e2"]], base=z["base"] if based else None, variant=variant, **parameters)
    here, there = (solera.merge(made, tmp_path / backend, backend=backend) for backend in ("inline", "cuda"))
    assert there.digest == here.digest


FEW = {"doge": {"steps": 4}, "optmerge": {"steps": 4}, "wudi": {"steps": 4}, "layer_swap": {"bottom": 1, "top": 0}}
CARDS = [name for name, card in cards().items() if not card.statistics and not any(p.required for p in card.parameters)]


@pytest.mark.parametrize("name", CARDS)
def test_no_method_leaves_an_operand_behind(zoo, tmp_path, elsewhere, name):
    z, card = zoo(layers=1), cards()[name]
    models = [z["e0"], z["e1"], z["e2"]][: card.models[1] or 3]
    made = recipe(name, models, base=None if card.base == "refused" else z["base"], **FEW.get(name, {}))
    here, there = (solera.merge(made, tmp_path / backend, backend=backend) for backend in ("inline", "cuda"))
    assert there.digest == here.digest


def test_without_a_card_nothing_is_begun(zoo, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a card")
    z = zoo()
    with pytest.raises(RunError, match="no graphics card"):
        solera.merge(recipe("linear", [z["e0"], z["e1"]]), tmp_path / "out", backend="cuda")
    assert not (tmp_path / "out").exists()


def test_the_pretence_sees_operands_of_two_devices(elsewhere):
    import torch

    there, here = torch.ones(3, device=DEVICE), torch.ones(3)
    with pytest.raises(AssertionError, match="two devices"):
        there + here
