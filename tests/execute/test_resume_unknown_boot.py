"""Where the machine does not tell its boot, a stopped run is resumed all the same, its chunks read and compared."""

import pytest

import solera
from solera.errors import Interrupted
from solera.execute import chunks, journal
from tests.conftest import recipe


def test_a_run_resumes_without_a_boot_id(zoo, tmp_path, monkeypatch):
    for module in (journal, chunks):
        monkeypatch.setattr(module, "boot_id", lambda: "")
    z = zoo()
    made = recipe("linear", [z["e0"], z["e1"]])
    whole = solera.merge(made, tmp_path / "whole")

    def stop(event):
        if event.kind == "progress" and event.done > 2000:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        solera.merge(made, tmp_path / "out", threads=1, on_event=stop)
    again = solera.merge(made, tmp_path / "out", resume=True)
    assert again.chunks_resumed > 0
    assert again.digest == whole.digest
