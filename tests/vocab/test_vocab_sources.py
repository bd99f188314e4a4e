"""Gathered rows against a dense computation, and against the numbers of the tokenizer rules."""

import pytest
import torch

from solera.checkpoints import FileRange, MemorySource
from solera.errors import PlanError
from solera.methods.vocab import MeanRow, Vocabulary, embedding_source, row_plan, union
from solera.types import DType, TensorSpec


def vocabulary(tokens, rows=None):
    return Vocabulary({t: i for i, t in enumerate(tokens)}, rows=rows or len(tokens))


def table(rows, width=3, seed=0, dtype=torch.float32):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)).to(dtype)


def whole(source):
    return source.read(None, 0, source.spec.numel).reshape(source.spec.shape)


def dense(plan, model, tables):
    """The plan told as a loop over rows, in float64."""
    many = [t.to(torch.float64) for t in tables]
    m = plan.maps[model]
    out = torch.zeros(plan.rows, *tables[0].shape[1:], dtype=torch.float64)
    for r in range(plan.rows):
        entries = range(m.offsets[r], m.offsets[r + 1])
        if any(m.which[e] == len(tables) for e in entries):
            continue
        rows = [many[m.which[e]][m.row[e]] for e in entries]
        out[r] = sum(rows) / len(rows) if rows else 0
    mean = many[plan.mean_of][: plan.mean_rows] if plan.mean_of is not None else out[: plan.mean_rows]
    for r in range(plan.rows):
        if any(m.which[e] == len(tables) for e in range(m.offsets[r], m.offsets[r + 1])):
            out[r] = mean.mean(0)
    return out


@pytest.mark.parametrize("dialect", ["solera", "mergekit"])
@pytest.mark.parametrize("base", [None, 1])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_rows_are_those_of_the_plan(dialect, base, shape):
    models = [vocabulary("abcdef", 8), vocabulary("gbfha"), vocabulary("kcg")]
    tables = [torch.randn(v.rows, *shape, generator=torch.Generator().manual_seed(i)) for i, v in enumerate(models)]
    sources = [MemorySource(t) for t in tables]
    plan = row_plan(union(models), models, base=base, dialect=dialect, pad_to_multiple_of=16)
    for m in range(3):
        made = embedding_source(plan, m, sources)
        assert made.spec.shape == (16, *shape)
        torch.testing.assert_close(whole(made).double(), dense(plan, m, tables), rtol=1e-6, atol=1e-7)


def test_a_filled_row_is_the_bases_bit_for_bit():
    models = [vocabulary("abcd", 6), vocabulary("dbx"), vocabulary("bay")]
    sources = [MemorySource(table(v.rows, seed=i, dtype=torch.bfloat16)) for i, v in enumerate(models)]
    output = union(models)
    plan = row_plan(output, models, base=0, pad_to_multiple_of=8)
    base, *others = [whole(embedding_source(plan, m, sources)).float() for m in range(3)]
    for model, rows in zip(models[1:], others, strict=True):
        lacking = [i for t, i in output.tokens.items() if t not in model.tokens] + list(range(output.size, 8))
        assert torch.equal(rows[lacking], base[lacking])


def test_copied_rows_keep_their_type():
    models = [vocabulary("abcd"), vocabulary("dcba")]
    sources = [MemorySource(table(4, dtype=torch.bfloat16)), MemorySource(table(4, dtype=torch.float16))]
    plan = row_plan(models[0], models, base=0)
    made = embedding_source(plan, 1, sources)
    assert (made.spec.dtype, made.natural) == (DType.F16, DType.F16)
    assert torch.equal(whole(made), sources[1].tensor.flip(0))


def test_nothing_moves_where_nothing_needs_to():
    models = [vocabulary("abcd"), vocabulary("abcd")]
    sources = [MemorySource(table(4)), MemorySource(table(4))]
    assert embedding_source(row_plan(models[0], models), 1, sources) is sources[1]


def test_a_model_without_the_tensor_lends_no_rows():
    models = [vocabulary("ab"), vocabulary("bc")]
    sources = [None, MemorySource(table(2))]
    output = union(models)
    with pytest.raises(PlanError, match="lacks the tensor"):
        embedding_source(row_plan(output, models), 1, sources)
    made = whole(embedding_source(row_plan(output, models, donors=[1], dialect="mergekit"), 1, sources))
    assert not made[0].any()
    assert torch.equal(made[1:], sources[1].tensor)


def test_the_mean_row_is_taken_in_float64():
    rows = torch.full((4097, 2), 0.1)
    rows[0] = 1e6
    mean = whole(MeanRow(MemorySource(rows), 4097))[0]
    torch.testing.assert_close(mean, rows.double().mean(0).float(), rtol=0, atol=0)
    assert MeanRow(FileRange("f", 0, TensorSpec(DType.F32, (4097, 2))), 10).cost_bytes(0, 1) == 80
    assert MeanRow(MemorySource(rows), 10).spec.dtype is DType.F32
