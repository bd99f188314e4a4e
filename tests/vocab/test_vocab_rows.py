"""Rows by token: against a plain loop, and the cases that must be exact."""

import itertools
import random

import numpy as np
import pytest

from solera.errors import PlanError
from solera.methods.vocab import RowSource, Vocabulary, row_plan, trimmed, union, with_tokens


def vocabulary(tokens, rows=None, label="m"):
    return Vocabulary({t: i for i, t in enumerate(tokens)}, "bpe", rows or len(tokens), {}, label)


def entries(plan, model, row):
    """Set of (model, row) that an output row is the mean of."""
    m = plan.maps[model]
    a, b = m.offsets[row], m.offsets[row + 1]
    return set(zip(m.which[a:b].tolist(), m.row[a:b].tolist(), strict=True))


def expected(output, models, base, model, token):
    """The rule, told as a loop."""
    has = {i: v.tokens[token] for i, v in enumerate(models) if v.tokens.get(token, 10**9) < v.rows}
    if model in has:
        return {(model, has[model])}
    if len(has) == 1:
        return set(has.items())
    if base in has:
        return {(base, has[base])}
    return set(has.items())


@pytest.mark.parametrize("base", [None, 0, 1])
@pytest.mark.parametrize("dialect", ["solera", "mergekit"])
def test_every_row_follows_the_rule(base, dialect):
    draw = random.Random(5)
    names = [f"t{i}" for i in range(60)]
    models = [vocabulary(draw.sample(names, 30), 30 + 4 * i, f"m{i}") for i in range(3)]
    output = union(models)
    plan = row_plan(output, models, base=base, dialect=dialect)
    for (token, at), model in itertools.product(output.tokens.items(), range(3)):
        assert entries(plan, model, at) == expected(output, models, base, model, token), token
    assert plan.rows == output.size
    assert [m.own for m in plan.maps] == [30, 30, 30]


def test_a_missing_token_gives_a_delta_of_exactly_zero():
    base, fine, other = vocabulary("abc"), vocabulary("bcd"), vocabulary("aef")
    models = [base, fine, other]
    output = union(models)
    plan = row_plan(output, models, base=0)
    for token, at in output.tokens.items():
        for i, model in enumerate(models):
            if token not in model.tokens:
                assert entries(plan, i, at) == entries(plan, 0, at)


def test_mean_over_those_that_have_it_without_a_base():
    models = [vocabulary("ab"), vocabulary("bc"), vocabulary("ax")]
    plan = row_plan(union(models), models)
    output = union(models)
    assert entries(plan, 2, output.tokens["b"]) == {(0, 1), (1, 0)}
    assert entries(plan, 1, output.tokens["a"]) == {(0, 0), (2, 0)}


def test_configured_rows():
    base, fine = vocabulary("abc", label="base"), vocabulary("bcd", label="fine")
    output = with_tokens(union([base, fine]), ["<new>", "<zero>"])
    sources = {
        "a": RowSource("model", 0, force=True),
        "b": RowSource("model", 0),
        "c": RowSource("model_token", 1, token="d", force=True),
        "<new>": RowSource("model_token", 1, token_id=2),
        "<zero>": RowSource("zero"),
    }
    plan = row_plan(output, [base, fine], base=0, sources=sources)
    at = output.tokens
    assert [entries(plan, m, at["b"]) for m in (0, 1)] == [{(0, 1)}, {(1, 0)}]
    assert [entries(plan, m, at["c"]) for m in (0, 1)] == [{(1, 2)}, {(1, 2)}]
    assert [entries(plan, m, at["<new>"]) for m in (0, 1)] == [{(1, 2)}, {(1, 2)}]
    assert [entries(plan, m, at["<zero>"]) for m in (0, 1)] == [set(), set()]


@pytest.mark.parametrize(
    ("token", "source", "said"),
    [
        ("nowhere", RowSource("zero"), "nowhere"),
        ("a", RowSource("model", 1), "fine"),
        ("a", RowSource("model_token", 1, token_id=3), "row 3"),
        ("a", RowSource("model_token", 0, token="zz"), "zz"),
    ],
)
def test_sources_that_are_not_there_are_named(token, source, said):
    models = [vocabulary("abc", label="base"), vocabulary("bcd", label="fine")]
    with pytest.raises(PlanError, match=said):
        row_plan(union(models), models, sources={token: source})


def test_padding_stays_in_its_place():
    base, fine = vocabulary("abc", rows=8), vocabulary("abcd", rows=8)
    output = union([base, fine])
    assert output.rows == 8
    plan = row_plan(output, [base, fine], base=0)
    assert plan.rows == 8
    assert [entries(plan, 0, i) for i in range(4, 8)] == [{(0, i)} for i in range(4, 8)]
    assert [entries(plan, 1, i) for i in range(4, 8)] == [{(1, i)} for i in range(4, 8)]
    assert entries(plan, 0, 3) == {(1, 3)}
    assert not plan.maps[0].identity
    assert plan.maps[1].identity
    assert any("belong to no token" in note for note in plan.notes)


def test_padding_of_a_model_that_ends_earlier_comes_from_the_base():
    base, fine = vocabulary("abc", rows=6), vocabulary("abc", rows=4)
    plan = row_plan(base, [base, fine], base=0)
    assert [entries(plan, 1, i) for i in range(6)] == [{(1, i)} for i in range(4)] + [{(0, 4)}, {(0, 5)}]


def test_a_row_that_is_padding_here_and_a_token_there_is_the_bases():
    base, fine = vocabulary("abc", rows=5), vocabulary("abcx", rows=5)
    plan = row_plan(base, [base, fine], base=0)
    assert entries(plan, 1, 3) == {(0, 3)}
    assert entries(plan, 1, 4) == {(1, 4)}


def test_rows_added_by_rounding_up_are_the_bases_mean_for_all():
    models = [vocabulary("abc"), vocabulary("abd")]
    plan = row_plan(union(models), models, base=0, pad_to_multiple_of=8)
    assert plan.rows == 8
    assert (plan.mean_of, plan.mean_rows) == (0, 3)
    assert [entries(plan, m, i) for m in (0, 1) for i in range(4, 8)] == [{(2, 0)}] * 8


def test_the_mergekit_dialect_cuts_padding_and_means_each_model():
    models = [vocabulary("abc", rows=8), vocabulary("bcd", rows=4)]
    plan = row_plan(union(models), models, base=0, dialect="mergekit")
    assert plan.rows == 4
    assert plan.mean_of is None
    assert any("cut to the 4" in note for note in plan.notes)
    padded = row_plan(union(models), models, base=0, dialect="mergekit", pad_to_multiple_of=3)
    assert (padded.rows, padded.mean_rows) == (6, 4)
    assert entries(padded, 0, 5) == {(2, 0)}


def test_a_token_that_nobody_has():
    models = [vocabulary("ab"), vocabulary("ac")]
    output = with_tokens(union(models), ["<new>"])
    at = output.tokens["<new>"]
    assert entries(row_plan(output, models, base=0), 1, at) == {(2, 0)}
    assert entries(row_plan(output, models, base=0, dialect="mergekit"), 1, at) == set()


def test_only_donors_lend_rows():
    models = [vocabulary("ab"), vocabulary("ac"), vocabulary("ad")]
    output = union(models)
    plan = row_plan(output, models, base=0, donors=[1], dialect="mergekit")
    assert entries(plan, 1, output.tokens["b"]) == set()
    assert entries(plan, 1, output.tokens["c"]) == {(1, 1)}


def test_a_base_without_the_tensor_is_no_reference():
    models = [vocabulary("ab", rows=6), vocabulary("ac", rows=4), vocabulary("ad", rows=4)]
    output = with_tokens(union(models), ["<new>"])
    plan = row_plan(output, models, base=0, donors=[1, 2])
    assert plan.mean_of == 1
    used = {m for i in (1, 2) for r in range(plan.rows) for m, _ in entries(plan, i, r)}
    assert used == {1, 2, 3}


def test_rows_of_the_tensor_itself_count():
    base = vocabulary("abcd")
    plan = row_plan(base, [base, base], base=0, rows=[4, 3])
    assert entries(plan, 1, 3) == {(0, 3)}


def test_tokens_beyond_the_embedding():
    base = vocabulary("abcd", rows=3, label="base")
    assert list(trimmed(base).tokens) == ["a", "b", "c"]
    plan = row_plan(base, [base], base=0)
    assert plan.rows == 4
    assert entries(plan, 0, 3) == {(1, 0)}


def test_the_same_vocabulary_moves_nothing():
    base = vocabulary("abcd", rows=6)
    plan = row_plan(base, [base, vocabulary("abcd", rows=6)], base=0)
    assert plan.identity


def test_gaps_between_ids_stay():
    base = Vocabulary({"a": 0, "b": 3}, "bpe", 4, {}, "base")
    plan = row_plan(base, [base, base], base=0)
    assert plan.identity


def test_a_large_vocabulary():
    rng = np.random.default_rng(3)
    orders = [rng.permutation(200_000)[:150_000] for _ in range(3)]
    models = [
        Vocabulary({f"t{t}": i for i, t in enumerate(o.tolist())}, "bpe", 152_064, {}, f"m{j}")
        for j, o in enumerate(orders)
    ]
    output = union(models)
    plan = row_plan(output, models, base=0, pad_to_multiple_of=128)
    assert plan.rows % 128 == 0
    for model in plan.maps:
        assert model.own >= 150_000
        assert len(model.which) == model.offsets[-1] == len(model.row)
        assert (np.diff(model.offsets) >= 1).all()
        assert model.row.max() < 152_064
