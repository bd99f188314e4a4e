"""The short way through fused kernels gives the bytes of the long way through the steps."""

import gc
import os

import pytest

import solera
from solera.checkpoints import mapped, net
from solera.errors import Interrupted, SourceChanged
from solera.execute import chunks, journal, makers, windows
from solera.execute.fused import FusedRun
from tests.conftest import recipe
from tests.execute.cases import METHODS

pytest.importorskip("numba")

ROWS = [
    ("della", "mergekit", True, {"density": 0.6}),
    ("della_linear", None, True, {}),
    ("breadcrumbs", None, True, {}),
    ("breadcrumbs", None, True, {"rescale": True}),
    ("breadcrumbs_ties", None, True, {}),
    ("arcee_fusion", None, True, {}),
    ("model_stock", None, True, {"filter_wise": True}),
    ("nuslerp", None, True, {"flatten": False}),
]
"""Methods that look at whole rows."""

TAKES = {"arcee_fusion": 1, "nuslerp": 2}
"""Numbers of models, where a method takes its own."""


@pytest.mark.parametrize(("method", "variant", "based", "parameters"), [*METHODS, *ROWS])
def test_both_ways_write_the_same_bytes(zoo, tmp_path, monkeypatch, method, variant, based, parameters):
    z = zoo(vocab=6000)
    models = [z[name] for name in ("e0", "e1", "e2")][: TAKES.get(method)]
    made = recipe(method, models, base=z["base"] if based else None, variant=variant, **parameters)
    used = []
    real = makers.fused_leaf
    monkeypatch.setattr(makers, "fused_leaf", lambda *a, **k: used.append(real(*a, **k)) or used[-1])
    short = solera.merge(made, tmp_path / "short")
    assert all(used)
    monkeypatch.setattr(makers, "fused_leaf", lambda *a, **k: None)
    assert solera.merge(made, tmp_path / "long").digest == short.digest


def test_a_run_resumes_in_the_middle_of_a_tensor_whose_rows_are_compared(zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 1 << 14)  # the embedding is six chunks
    z = zoo(vocab=6000)
    made = recipe("arcee_fusion", [z["e0"]], base=z["base"])
    whole = solera.merge(made, tmp_path / "whole")
    keys = []
    real = journal.Journal.chunk

    def stop(self, key, digest, nbytes):
        real(self, key, digest, nbytes)
        keys.append(key)
        if key[-1] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(journal.Journal, "chunk", stop)
    with pytest.raises(Interrupted):
        solera.merge(made, tmp_path / "out", threads=1)
    done = len(keys)
    monkeypatch.setattr(journal.Journal, "chunk", lambda self, key, *rest: real(self, key, *rest) or keys.append(key))
    again = solera.merge(made, tmp_path / "out", threads=1, resume=True)
    assert again.chunks_resumed == done
    assert (*keys[done - 1][:-1], 3) == keys[done]
    assert again.digest == whole.digest


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


@pytest.mark.parametrize("method", ["linear", "ties"])
def test_a_source_cut_short_under_the_last_block_is_an_error_and_nothing_is_lost(zoo, tmp_path, monkeypatch, method):
    """A mapped page that is gone would end the process, or read as zeros; no later block would find out."""
    monkeypatch.setattr(mapped, "LEAST", 1)
    monkeypatch.setattr(windows, "LEAST", 1)
    z = zoo(vocab=6000)
    source = z["e1"] / "model.safetensors"
    whole = source.read_bytes()
    made = recipe(method, [z["e0"], z["e1"]], base=z["base"] if method == "ties" else None)
    real, calls, last = FusedRun._blocks, [], []

    def blocks(self, start, stop):
        seen = real(self, start, stop)
        calls.append(start)
        if len(calls) in last:
            os.truncate(source, 4096)
        return seen

    monkeypatch.setattr(FusedRun, "_blocks", blocks)
    truth = solera.merge(made, tmp_path / "truth", threads=1)
    assert calls
    last.append(2 * len(calls))
    with pytest.raises(SourceChanged, match="changed while it was in use"):
        solera.merge(made, tmp_path / "out", threads=1)
    assert not (tmp_path / "out").exists()
    source.write_bytes(whole)
    assert solera.merge(made, tmp_path / "out", force=True).digest == truth.digest


def test_merges_leave_no_range_in_the_net(zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "LEAST", 1)
    monkeypatch.setattr(windows, "LEAST", 1)
    z = zoo()
    free = len(net._free)
    solera.merge(recipe("ties", [z["e0"], z["e1"]], base=z["base"]), tmp_path / "out", threads=2)
    gc.collect()
    assert len(net._free) == free
