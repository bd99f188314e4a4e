import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solera.execute.journal import Journal, decode, encode, read_journal

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(plain)
def test_values_survive_the_journal(value):
    assert decode(encode(value)) == value


def test_tensors_survive_bit_for_bit():
    tensor = torch.tensor([1.0, -0.0, 1e-310, float("inf")], dtype=torch.float64)
    back = decode(encode({"a": (tensor, np.arange(3))}))
    assert back["a"][0].numpy().tobytes() == tensor.numpy().tobytes()
    assert (back["a"][1] == np.arange(3)).all()


def test_objects_are_refused():
    with pytest.raises(TypeError, match="plain data"):
        encode(object())


def test_a_torn_last_line_is_done_again(tmp_path):
    journal = Journal(tmp_path / "j", "plan", fresh=True)
    journal.chunk((0, 0, 0), "aa", 4)
    journal.chunk((0, 0, 1), "bb", 4)
    journal.close()
    with (tmp_path / "j").open("r+b") as file:
        file.truncate((tmp_path / "j").stat().st_size - 5)
    past = read_journal(tmp_path / "j", "plan")
    assert past is not None
    assert set(past.chunks) == {(0, 0, 0)}


@pytest.mark.parametrize(
    "text", ["", "not json\n", '{"solera":99,"plan":"plan"}\n', '{"solera":1,"plan":"other"}\n', "[]\n"]
)
def test_a_foreign_journal_is_not_resumed(tmp_path, text):
    (tmp_path / "j").write_text(text)
    assert read_journal(tmp_path / "j", "plan") is None
