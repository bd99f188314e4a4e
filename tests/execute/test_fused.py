"""The short way through fused kernels gives the bytes of the long way through the steps."""

import pytest

import solera
from solera.execute import makers
from tests.conftest import recipe
from tests.execute.cases import METHODS

pytest.importorskip("numba")

SLOW_WAYS = {"della"}
"""Methods of whole rows, which have no kernel."""


@pytest.mark.parametrize(("method", "variant", "based", "parameters"), METHODS)
def test_both_ways_write_the_same_bytes(zoo, tmp_path, monkeypatch, method, variant, based, parameters):
    z = zoo(vocab=6000)
    made = recipe(method, [z["e0"], z["e1"], z["e2"]], base=z["base"] if based else None, variant=variant, **parameters)
    used = []
    real = makers.fused_leaf
    monkeypatch.setattr(makers, "fused_leaf", lambda *a, **k: used.append(real(*a, **k)) or used[-1])
    short = solera.merge(made, tmp_path / "short")
    assert any(used) == (method not in SLOW_WAYS)
    monkeypatch.setattr(makers, "fused_leaf", lambda *a, **k: None)
    assert solera.merge(made, tmp_path / "long").digest == short.digest


def test_a_value_that_is_not_finite_is_named_on_the_short_way(zoo, tmp_path):
    import numpy as np

    from solera.errors import NonFinite
    from tests.conftest import llama_config, tensors, write_model

    z = zoo()
    for key, operand in [("e1", "models"), ("base", "base")]:
        good = tensors(z[key])
        bad = {n: v.copy() for n, v in good.items()}
        bad["model.layers.3.self_attn.k_proj.weight"][2, 5] = -np.inf
        write_model(z[key], bad, llama_config())
        with pytest.raises(NonFinite, match=r"layers\.3\.self_attn\.k_proj") as caught:
            solera.merge(recipe("task_arithmetic", [z["e0"], z["e1"]], base=z["base"]), tmp_path / f"out-{operand}")
        assert caught.value.fault.where == f"{z[key]}, element {2 * 16 + 5}"
        assert caught.value.fault.got == "-inf"
        write_model(z[key], good, llama_config())
