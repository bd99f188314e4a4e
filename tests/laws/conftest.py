"""Sample methods are registered for one test at a time; built-ins that a test imported stay."""

from __future__ import annotations

import pytest

from solera.registry.table import BUILT_IN, REGISTERED


@pytest.fixture(autouse=True)
def _own_table():
    before = dict(REGISTERED)
    yield
    built_in = {name: entry for name, entry in REGISTERED.items() if entry.card.target.startswith(BUILT_IN)}
    REGISTERED.clear()
    REGISTERED.update(before | built_in)
