"""Docstrings fall into their parts."""

from __future__ import annotations

from solera.registry.docstring import Doc, read_docstring

TEXT = """Trim, elect, average.

    out = sum_k w_k d_k

    with d_k the survivors.

    Args:
        weight: one per model,
            or one for all: both work.
        lambda_ (float): factor.
    Differs: one reading
        of the sign.
    Returns:
        The chain.
    Differs:
        - a zero vote is plus.
        - thresholds are
          exact.
    Example:
        >>> 1
        1
    """


def test_all_parts():
    doc = read_docstring(TEXT)
    assert doc.summary == "Trim, elect, average."
    assert doc.body == "out = sum_k w_k d_k\n\nwith d_k the survivors."
    assert doc.args == {"weight": "one per model, or one for all: both work.", "lambda_": "factor."}
    assert doc.differs == ("one reading of the sign.", "a zero vote is plus.", "thresholds are exact.")


def test_sentences_over_several_lines_are_one_item():
    assert read_docstring("S.\n\nDiffers:\n    Here a,\n    b.\n    There c.").differs == ("Here a, b.", "There c.")


def test_no_docstring():
    assert read_docstring(None) == Doc()


def test_prose_after_a_section_is_body():
    assert read_docstring("S.\n\nArgs:\n    a: b\n\nMore.").body == "More."
