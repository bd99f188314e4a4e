"""Walks over expressions: the tasks and the reads in them, one by one or by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from solera.plan.tasks import Call, Expr, LeafTask, OutputTensor, Read, Twins


def tasks_of(expr: Expr) -> Iterator[LeafTask]:
    """All tasks in an expression, inner ones first.

    Example:
        >>> list(tasks_of(Read(None, (2,), "m", "t")))  # type: ignore[arg-type]
        []
    """
    if isinstance(expr, LeafTask):
        for child in expr.children():
            yield from tasks_of(child)
        yield expr


def calls_of(outputs: Iterable[OutputTensor]) -> Counter[Call]:
    """The distinct calls of a plan, in order, with the number of tasks of each."""
    seen = [task.call for tensor in outputs for part in tensor.parts for task in tasks_of(part.expr)]
    known = dict(zip(map(id, seen), seen, strict=True))  # most are one object, and hashing it takes longer
    calls: Counter[Call] = Counter()
    for key, count in Counter(map(id, seen)).items():
        calls[known[key]] += count
    return calls


def reads_of(expr: Expr) -> Iterator[Read]:
    """All reads in an expression."""
    if isinstance(expr, Read):
        yield expr
        return
    for part in (*expr.operands, *(() if expr.base is None else (expr.base,))):
        yield from reads_of(part)


def kinds_of(expr: Expr) -> Iterator[tuple[Read, int]]:
    """The reads in an expression, with the number of models that have one just like it: enough to count bytes."""
    if isinstance(expr, Read):
        yield expr, 1
        return
    if expr.base is not None:
        yield from kinds_of(expr.base)
    if isinstance(expr.operands, Twins):
        yield expr.operands.like, len(expr.operands)
        return
    for part in expr.operands:
        yield from kinds_of(part)


def names_of(expr: Expr) -> Iterator[tuple[tuple[str, ...], str]]:
    """(labels of models, file tensor) for the reads in an expression."""
    if isinstance(expr, Read):
        yield (expr.model,), expr.name
        return
    if expr.base is not None:
        yield from names_of(expr.base)
    if isinstance(expr.operands, Twins):
        yield expr.operands.kin.labels, expr.operands.like.name
        return
    for part in expr.operands:
        yield from names_of(part)
