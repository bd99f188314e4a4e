"""Pairs of tokenizer folders, one pair per kind."""

import pytest
from made_tokenizers import KINDS, MORE, WORDS, save


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def pair(kind, tmp_path):
    """Two folders of one kind: overlapping words, permuted ids, other special tokens; the first is padded."""
    base = save(tmp_path / "base", KINDS[kind](WORDS, 1), extra=["<|im_start|>"], pad=5)
    other = save(tmp_path / "other", KINDS[kind](MORE, 2), extra=["<|tool|>", "<|im_start|>"])
    return base, other
