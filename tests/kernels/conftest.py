"""Loops that the kernel laws are tried on: the compiled ones, and numpy's."""

from __future__ import annotations

import pytest

from solera.ops.kernels import engine


@pytest.fixture(params=["compiled", "numpy"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "compiled":
        pytest.importorskip("numba")
    else:
        monkeypatch.setattr(engine, "compiled", lambda: None)
    return request.param
