"""Every built-in method obeys every law."""

from __future__ import annotations

import pytest

from solera.registry import cards
from solera.testing import LAWS, check_law

CARDS = cards()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", CARDS)
def test_law(name, law):
    check_law(name, law)


@pytest.mark.parametrize("name", CARDS)
def test_opt_outs_name_laws(name):
    assert set(CARDS[name].law_optouts) <= set(LAWS)
