"""Whole-model thresholds in one sweep where a sample tells them, and the same values where it does not."""

import numpy as np
import pytest

import solera
from solera.errors import NonFinite
from solera.execute import local, sampling, sweeping
from solera.ops.kernels import ranking
from tests.conftest import llama_config, recipe, tensors, write_model

pytest.importorskip("numba")


@pytest.fixture
def uneven(zoo, monkeypatch):
    """Models whose tensors change by very different amounts, and their blocks too."""
    z = zoo(vocab=9000)
    for k in range(3):
        rng, found = np.random.default_rng(k), tensors(z["base"])
        for number, (name, value) in enumerate(found.items()):
            scale = 0.01 * 2.0 ** (number % 5) * np.exp(rng.standard_normal(value.shape[0]))
            found[name] = (value.T + rng.standard_normal(value.T.shape) * scale).T.astype(np.float32)
        write_model(z[f"e{k}"], found, llama_config(vocab=9000))
    monkeypatch.setattr(sweeping, "FEW", 0)
    return recipe("ties", [z["e0"], z["e1"], z["e2"]], base=z["base"], variant="official", density=0.2), z


@pytest.mark.parametrize("backend", ["threads", "inline"])
def test_one_sweep_finds_what_two_find(uneven, tmp_path, monkeypatch, backend):
    made, _ = uneven
    two = solera.merge(made, tmp_path / "two", backend=backend)
    monkeypatch.setattr(sweeping, "WORTH", 0)
    monkeypatch.setattr(sampling, "MOST", 1 << 15)
    one = solera.merge(made, tmp_path / "one", backend=backend)
    assert one.digest == two.digest
    assert one.bytes_read < 0.85 * two.bytes_read


def test_little_is_ranked_at_once(uneven, tmp_path, monkeypatch):
    made, _ = uneven
    two = solera.merge(made, tmp_path / "two")
    monkeypatch.undo()
    one = solera.merge(made, tmp_path / "one")
    assert one.digest == two.digest
    assert one.bytes_read < 0.8 * two.bytes_read


def test_a_sample_that_misleads_costs_a_sweep_and_nothing_else(uneven, tmp_path, monkeypatch):
    made, _ = uneven
    two = solera.merge(made, tmp_path / "two")
    monkeypatch.setattr(sweeping, "WORTH", 0)
    monkeypatch.setattr(ranking, "DOUBT", -40.0)
    three = solera.merge(made, tmp_path / "three")
    assert three.digest == two.digest
    assert three.bytes_read > two.bytes_read


def test_much_between_the_ends_is_counted(uneven, tmp_path, monkeypatch):
    made, _ = uneven
    two = solera.merge(made, tmp_path / "two")
    monkeypatch.setattr(sweeping, "WORTH", 0)
    monkeypatch.setattr(ranking, "DOUBT", 60.0)
    monkeypatch.setattr("solera.ops.kernels.brackets.PENDING", 500)
    assert solera.merge(made, tmp_path / "one").digest == two.digest
    monkeypatch.setattr("solera.ops.kernels.brackets.DISTINCT", 500)
    assert solera.merge(made, tmp_path / "lost").digest == two.digest


def test_the_error_of_the_one_that_failed_is_raised(uneven, tmp_path, monkeypatch):
    made, z = uneven
    bad = tensors(z["e1"])
    bad["model.norm.weight"][3] = np.inf
    write_model(z["e1"], bad, llama_config(vocab=9000))
    monkeypatch.setattr(local, "AHEAD", 2)
    with pytest.raises(NonFinite, match="norm"):
        solera.merge(made, tmp_path / "out", threads=2)
