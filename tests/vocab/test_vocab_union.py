"""Order, flags and conflicts of joined vocabularies."""

import pytest

from solera.methods.vocab import Added, Vocabulary, trimmed, union, with_tokens


def test_order_is_base_then_plain_then_added():
    base = Vocabulary({"a": 0, "b": 1, "<s>": 2}, "bpe", 3, {"<s>": Added(special=True)}, "base")
    one = Vocabulary({"<x>": 0, "c": 2, "a": 1}, "bpe", 3, {"<x>": Added()}, "one")
    two = Vocabulary({"d": 1, "c": 0, "<x>": 2}, "bpe", 3, {}, "two")
    joined = union([base, one, two])
    assert list(joined.tokens.items()) == [("a", 0), ("b", 1), ("<s>", 2), ("c", 3), ("d", 4), ("<x>", 5)]
    assert set(joined.added) == {"<s>", "<x>"}
    assert joined.kind == "bpe"


def test_the_first_flags_win_and_the_other_are_noted():
    base = Vocabulary({"<x>": 0}, "bpe", 1, {"<x>": Added(special=True)}, "base")
    one = Vocabulary({"<x>": 0}, "bpe", 1, {"<x>": Added(lstrip=True)}, "one")
    joined = union([base, one])
    assert joined.added["<x>"] == Added(special=True)
    assert any("'<x>'" in note and "one" in note for note in joined.notes)


def test_a_plain_token_of_the_base_that_a_model_adds_is_added_in_place():
    base, one = Vocabulary({"a": 0, "<x>": 1}, rows=2), Vocabulary({"<x>": 5}, "bpe", 6, {"<x>": Added(special=True)})
    joined = union([base, one])
    assert joined.tokens["<x>"] == 1
    assert joined.added["<x>"].special


def test_kinds_that_differ_are_noted():
    joined = union([Vocabulary({"a": 0}, "bpe", 1), Vocabulary({"##a": 0}, "wordpiece", 1, {}, "bert")])
    assert any("bert" in note and "wordpiece" in note for note in joined.notes)


def test_rows_never_shrink():
    padded = Vocabulary({"a": 0}, rows=8)
    assert union([padded, Vocabulary({"b": 0}, rows=1)]).rows == 8
    assert with_tokens(padded, ["c"]).rows == 8
    assert with_tokens(Vocabulary({"a": 0}, rows=1), ["c"]).rows == 2


def test_new_tokens_follow_the_largest_id():
    assert union([Vocabulary({"a": 0, "b": 7}, rows=8), Vocabulary({"c": 0}, rows=1)]).tokens["c"] == 8


def test_trimming_says_what_went():
    short = trimmed(Vocabulary({"a": 0, "[PAD]": 1}, "bpe", 1, {"[PAD]": Added(special=True)}, "base"))
    assert dict(short.tokens) == {"a": 0}
    assert short.added == {}
    assert "[PAD]" in short.notes[0]


def test_nothing_to_join():
    with pytest.raises(ValueError, match="no vocabularies"):
        union([])
