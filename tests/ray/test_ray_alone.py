"""The backend `ray` where there is no cluster: what is refused, and what a worker checks by itself."""

import os
from importlib.util import find_spec

import pytest

import solera
from solera.errors import BadParameter, MissingExtra, RunError, UnknownName
from solera.execute.many.parcels import Orders
from solera.execute.many.worker import Desk, look_at
from tests.conftest import recipe


def test_a_node_that_does_not_see_the_staged_files_says_so(tmp_path):
    desk = Desk.of(
        Orders("nonce", str(tmp_path / "run"), "", {}, {}, (), {"keep_nonfinite": False, "block": 1, "hold_bytes": 0})
    )
    with pytest.raises(RunError, match="does not see the folder"):
        desk._check_mark()
    (tmp_path / "run").write_text("nonce")
    desk._check_mark()


def test_a_look_is_what_file_systems_agree_on(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    os.utime(path, ns=(5, 7_900_000_000))
    assert look_at(str(path)) == (3, 7)


def test_options_of_another_backend_are_refused(zoo, tmp_path):
    z = zoo()
    made = recipe("linear", [z["e0"], z["e1"]])
    for options in ({"workers": 2}, {"address": "auto"}, {"backend": "ray", "threads": 2}):
        with pytest.raises(BadParameter, match="has no"):
            solera.merge(made, tmp_path / "out", **options)
    with pytest.raises(UnknownName, match="no backend `rya`") as caught:
        solera.merge(made, tmp_path / "out", backend="rya")
    assert "ray" in caught.value.fault.fix
    assert solera.merge(made, tmp_path / "in", backend="inline").digest == solera.merge(made, tmp_path / "thr").digest


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")
@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:10001", "nowhere"])
def test_a_cluster_that_is_not_there(zoo, tmp_path, address):
    z = zoo()
    with pytest.raises(RunError, match="cannot be joined") as caught:
        solera.merge(recipe("linear", [z["e0"], z["e1"]]), tmp_path / "out", backend="ray", address=address)
    assert caught.value.fault.where == address
    assert not list(tmp_path.glob("*out*"))


def test_without_the_extra_the_error_names_it(zoo, tmp_path, monkeypatch):
    z = zoo()
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"solera\[ray\]"):
        solera.merge(recipe("linear", [z["e0"], z["e1"]]), tmp_path / "out", backend="ray")
