"""Plan the embedding rows: for every model, where each row of the output's vocabulary comes from.

A model keeps its own row of a token. A token that it lacks gets the token's default row, which is the same for all
models, so that task vectors are exactly zero there: the configured source; else the only model's that has it; else
the base's; else the mean over those that have it. Matching is by token text; all else is array work.

Differs: with the native dialect, rows beyond the tokens are kept (the base's count is never cut) and a token that no
model has gets the base's mean row; the mergekit dialect writes exactly the tokens, padded with each embedding's own
mean row, and zeros for tokens that no model has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solera.errors import PlanError, nearest
from solera.methods.vocab.values import Dialect, Ints, RowMap, RowSource, Vocabulary, VocabularyPlan

Bools = NDArray[np.bool_]
_ZERO, _MANY = -1, -2
"""Owners of a row besides the models 0..M-1 and the mean row M: nobody, and several."""


def row_plan(
    output: Vocabulary,
    models: Sequence[Vocabulary],
    *,
    base: int | None = None,
    sources: Mapping[str, RowSource] | None = None,
    pad_to_multiple_of: int | None = None,
    donors: Sequence[int] | None = None,
    rows: Sequence[int] | None = None,
    dialect: Dialect = "solera",
) -> VocabularyPlan:
    """Map every output row to rows of the models.

    Args:
        output: the vocabulary to be written.
        models: vocabularies of the inputs, base included where there is one.
        base: position of the base among `models`; None if the recipe has none.
        sources: exceptions by token.
        pad_to_multiple_of: round the number of rows up.
        donors: models whose rows may stand in for others (None: all). mergekit asks those that have the tensor's part.
        rows: rows of this very tensor in each model, where they differ from the vocabularies' counts.
        dialect: whose rules decide on rows beyond the tokens.

    Cost: one dictionary look-up per token and model; about a second for 150 000 tokens and 3 models.

    Raises:
        PlanError: an exception names a token or a row that its model does not have.

    Example:
        >>> a, b = Vocabulary({"x": 0, "y": 1}, rows=2, label="a"), Vocabulary({"y": 0, "z": 1}, rows=2, label="b")
        >>> plan = row_plan(Vocabulary({"x": 0, "y": 1, "z": 2}, rows=3), [a, b])
        >>> [plan.maps[1].which.tolist(), plan.maps[1].row.tolist()]
        [[0, 1, 1], [0, 0, 1]]
    """
    lending = list(range(len(models)) if donors is None else donors)
    reference = base if base is not None and base in lending else min(lending, default=0)
    counts = [m.rows for m in models] if rows is None else list(rows)
    case = _case(output, models, counts, dialect, pad_to_multiple_of, base, reference)
    allowed = np.zeros(len(models), bool)
    allowed[lending] = True
    default = _default(case, (case.own >= 0) & allowed[:, None], sources or {})
    kept = _kept(case)
    maps = tuple(_row_map(case, default, kept, m) for m in range(len(models)))
    mean_of = case.reference if dialect == "solera" else None
    mean_rows = output.size if mean_of is None else min(models[mean_of].size, case.counts[mean_of])
    return VocabularyPlan(case.total, maps, mean_of, mean_rows, tuple(_notes(case, maps)))


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """What is asked.

    own: (models, rows) the model's own row or -1. known: rows that are tokens. reference: the model whose padding and
    mean row count: the base, else the first that has the tensor.
    """

    output: Vocabulary
    models: Sequence[Vocabulary]
    base: int | None
    reference: int
    counts: Sequence[int]
    native: bool
    own: Ints
    known: Bools

    @property
    def total(self) -> int:
        return len(self.known)

    @property
    def mean(self) -> int:
        """The number of the mean row: one past the models."""
        return len(self.models)


@dataclass(frozen=True, slots=True, eq=False)
class _Default:
    """The default row of every output row; `has`: (models, rows) whose rows a mean is taken over."""

    which: Ints
    row: Ints
    forced: Bools
    has: Bools


def _case(
    output: Vocabulary,
    models: Sequence[Vocabulary],
    counts: Sequence[int],
    dialect: Dialect,
    multiple: int | None,
    base: int | None,
    reference: int,
) -> _Case:
    count = output.size if dialect == "mergekit" else max(output.size, output.rows)
    total = -(-count // multiple) * multiple if multiple else count
    own = np.stack([_own_rows(output, m, n, total) for m, n in zip(models, counts, strict=True)])
    return _Case(output, models, base, reference, counts, dialect == "solera", own, _known(output, total))


def _own_rows(output: Vocabulary, model: Vocabulary, rows: int, total: int) -> Ints:
    find = model.tokens.get
    found = np.fromiter((find(token, -1) for token in output.tokens), np.int64, len(output.tokens))
    own = np.full(total, -1, np.int64)
    own[_ids(output)] = np.where(found < rows, found, -1)
    return own


def _ids(vocabulary: Vocabulary) -> Ints:
    return np.fromiter(vocabulary.tokens.values(), np.int64, len(vocabulary.tokens))


def _known(vocabulary: Vocabulary, total: int) -> Bools:
    known, ids = np.zeros(total, bool), _ids(vocabulary)
    known[ids[ids < total]] = True
    return known


def _default(case: _Case, has: Bools, sources: Mapping[str, RowSource]) -> _Default:
    having = has.sum(axis=0)
    which = np.full(case.total, _MANY, np.int64)
    which[having == 1] = has.argmax(axis=0)[having == 1]
    if case.base is not None:
        which[has[case.base] & (having > 1)] = case.base
    which[having == 0] = case.mean if case.native else _ZERO
    which[~case.known] = case.mean
    single = (which >= 0) & (which < case.mean)
    row = np.where(single, case.own[np.where(single, which, 0), np.arange(case.total)], 0)
    forced = np.zeros(case.total, bool)
    for token, source in sources.items():
        at = _place(case.output, token)
        forced[at] = source.force
        if source.kind != "default":
            which[at], row[at] = _configured(case, token, source)
    return _Default(which, row, forced, has)


def _place(output: Vocabulary, token: str) -> int:
    if token in output.tokens:
        return output.tokens[token]
    raise PlanError(
        "A token of `tokenizer: tokens:` is not in the output's vocabulary.",
        got=repr(token),
        fix=nearest(token, list(output.added) or list(output.tokens)[:100]),
    )


def _configured(case: _Case, token: str, source: RowSource) -> tuple[int, int]:
    """(model, row) that a recipe gives for a token."""
    if source.kind == "zero":
        return _ZERO, 0
    number = source.model or 0
    model, count = case.models[number], case.counts[number]
    name = token if source.kind == "model" or source.token is None else source.token
    row = model.tokens.get(name)
    if source.kind == "model_token" and source.token_id is not None:
        name, row = f"row {source.token_id}", source.token_id
    if row is not None and 0 <= row < count:
        return number, row
    raise PlanError(
        f"The source of token {token!r} has no such row.",
        where=f"tokenizer: tokens: {token}",
        got=f"{name} of {model.label}",
        want=f"a token that {model.label} has, or a row below {count}",
        fix=nearest(name, list(model.added)) if model.added else "name another model or token",
    )


def _kept(case: _Case) -> Bools | None:
    """(models, rows): rows that are no tokens and stay in their place, where the reference has such a row too."""
    if not case.native:
        return None
    padding = np.zeros((len(case.models), case.total), bool)
    for i, (model, count) in enumerate(zip(case.models, case.counts, strict=True)):
        padding[i, : min(count, case.total)] = True
        padding[i] &= ~_known(model, case.total) & ~case.known
    padding &= padding[case.reference].copy()
    return padding


def _row_map(case: _Case, default: _Default, kept: Bools | None, model: int) -> RowMap:
    mine = (case.own[model] >= 0) & ~default.forced
    which = np.where(mine, model, default.which)
    row = np.where(mine, case.own[model], default.row)
    places = np.arange(case.total)
    if kept is not None:
        here = kept[case.reference]
        which = np.where(here, np.where(kept[model], model, case.reference), which)
        row = np.where(here, places, row)
        mine |= kept[model]
    still = case.total == case.counts[model] and bool((which == model).all()) and bool((row == places).all())
    return RowMap(*_sparse(case, default.has, which, row), own=int(mine.sum()), identity=still)


def _sparse(case: _Case, has: Bools, which: Ints, row: Ints) -> tuple[Ints, Ints, Ints]:
    """Lay single rows, zeros and means out as offsets, models and rows."""
    single, several = which >= 0, has & (which == _MANY)
    lengths = single + several.sum(axis=0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    models, rows = np.zeros(offsets[-1], np.int64), np.zeros(offsets[-1], np.int64)
    models[offsets[:-1][single]], rows[offsets[:-1][single]] = which[single], row[single]
    place = offsets[:-1] + np.cumsum(several, axis=0) - 1
    for m, part in enumerate(several):
        models[place[m, part]], rows[place[m, part]] = m, case.own[m, part]
    return offsets, models, rows


def _notes(case: _Case, maps: Sequence[RowMap]) -> Iterator[str]:
    for model, count, built in zip(case.models, case.counts, maps, strict=True):
        if built.own < case.total:
            yield f"{model.label}: {case.total - built.own} of {case.total} embedding rows are filled from elsewhere"
        if not case.native and count > case.total:
            yield f"{model.label}: its {count} embedding rows are cut to the {case.total} of the output's tokens"
    beyond = case.total - int(case.known.sum())
    if beyond and case.native:
        yield f"{beyond} of {case.total} rows belong to no token: kept in their place, new ones get the mean row"
